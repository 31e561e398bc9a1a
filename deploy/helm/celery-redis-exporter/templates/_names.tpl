{{- define "exporter.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "exporter.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "exporter.labels" -}}
{{ include "exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "exporter.protected" -}}
{{- if .Values.web.tlsSecret }}
scheme: https
tlsConfig:
  serverName: {{ default (include "exporter.name" .) .Values.web.serverName }}
  ca:
    secret:
      name: {{ .Values.web.tlsSecret }}
      key: ca.crt
{{- end }}
{{- if .Values.web.scrapeSecret }}
basicAuth:
  username:
    name: {{ .Values.web.scrapeSecret }}
    key: username
  password:
    name: {{ .Values.web.scrapeSecret }}
    key: password
{{- end }}
{{- end -}}

{{- define "exporter.applications" -}}
applications:
  {{- range $name, $application := .Values.applications }}
  {{ $name | quote }}:
    {{- with $application.brokerUrl }}
    broker_url: {{ . | quote }}
    {{- end }}
    {{- with $application.resultBackendUrl }}
    result_backend_url: {{ . | quote }}
    {{- end }}
    {{- with $application.secret }}
    {{- with .brokerUrlKey }}
    broker_url_file: {{ printf "/run/secrets/applications/%s/%s" $name . | quote }}
    {{- end }}
    {{- with .brokerPasswordKey }}
    broker_password_file: {{ printf "/run/secrets/applications/%s/%s" $name . | quote }}
    {{- end }}
    {{- with .resultBackendUrlKey }}
    result_backend_url_file: {{ printf "/run/secrets/applications/%s/%s" $name . | quote }}
    {{- end }}
    {{- with .resultBackendPasswordKey }}
    result_backend_password_file: {{ printf "/run/secrets/applications/%s/%s" $name . | quote }}
    {{- end }}
    {{- end }}
    {{- with $application.settings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}
