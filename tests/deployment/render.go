// Renders a chart's templates with Go's own engine and Sprig, and Helm's functions on top of them.
// Takes JSON with context, templates and files on standard input, gives JSON with the texts by template.
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

type files map[string]string

func (f files) Get(name string) string { return f[name] }

func (f files) Glob(pattern string) files {
	found := files{}
	for name, text := range f {
		if matched, _ := path.Match(pattern, name); matched {
			found[name] = text
		}
	}
	return found
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	asked := struct {
		Context   map[string]any
		Templates map[string]string
		Files     files
	}{}
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	asked.Context["Files"] = asked.Files

	all := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	functions["include"] = func(name string, dot any) (string, error) {
		text := strings.Builder{}
		err := all.ExecuteTemplate(&text, name, dot)
		return text.String(), err
	}
	functions["toYaml"] = func(value any) (string, error) {
		var text bytes.Buffer
		encoder := yaml.NewEncoder(&text)
		encoder.SetIndent(2) // as helm's, which matters within the text of a ConfigMap
		err := encoder.Encode(value)
		return strings.TrimSuffix(text.String(), "\n"), err
	}
	functions["fromYaml"] = func(text string) (map[string]any, error) {
		tree := map[string]any{}
		return tree, yaml.Unmarshal([]byte(text), &tree)
	}
	all.Funcs(functions)
	for name, text := range asked.Templates {
		_, err := all.New(name).Parse(text)
		check(err)
	}
	rendered := map[string]string{}
	for name := range asked.Templates {
		if strings.HasPrefix(name, "_") {
			continue
		}
		text := strings.Builder{}
		check(all.ExecuteTemplate(&text, name, asked.Context))
		rendered[name] = text.String()
	}
	check(json.NewEncoder(os.Stdout).Encode(rendered))
}
