"""The script for bash, 3.2 and later.

Takes the vocabulary, gives text.
"""

from collections.abc import Iterable, Iterator

from exporter.cli.completion.words import Flag, Vocabulary

_SCRIPT = """\
# Completes celery-redis-exporter in bash; made by: celery-redis-exporter completion bash
_celery_redis_exporter() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=run flag="" lead="" words=""
  if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} != -* ]]; then
    command=${COMP_WORDS[1]}
    ((COMP_CWORD > 2)) && case "$command ${COMP_WORDS[2]}" in
      @NESTED@) command="$command ${COMP_WORDS[2]}" ;;
    esac
  fi
  # bash breaks words at =, unless it was told otherwise.
  if [[ $current == "=" ]]; then
    flag=$previous current=""
  elif [[ $previous == "=" ]]; then
    flag=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $current == --*=* ]]; then
    flag=${current%%=*} lead="$flag=" current=${current#*=}
  elif [[ $previous == --* ]]; then
    flag=$previous
  fi
  COMPREPLY=()
  case "$command $flag" in
@VALUES@
  esac
  if [[ -n $words ]]; then
    COMPREPLY=($(compgen -P "$lead" -W "$words" -- "$current"))
    return
  fi
  case "$command" in
@FLAGS@
  esac
  ((COMP_CWORD == 1)) && [[ $current != -* ]] && words="@COMMANDS@"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _celery_redis_exporter celery-redis-exporter
"""
_FILES = 'COMPREPLY=($(compgen -f -P "$lead" -- "$current")); compopt -o filenames 2>/dev/null; return'


def render_bash(vocabulary: Vocabulary) -> str:
    """Give the script."""
    values = [*_cases("*", vocabulary.settings)]
    for name, command in vocabulary.commands.items():
        values += _cases(name, command.flags)
    return (
        _SCRIPT.replace("@NESTED@", " | ".join(f'"{name}"' for name in vocabulary.nested))
        .replace("@VALUES@", "\n".join(values))
        .replace("@FLAGS@", "\n".join(_words(vocabulary)))
        .replace("@COMMANDS@", " ".join([*vocabulary.first, "--help", "--version"]))
    )


def _cases(command: str, flags: Iterable[Flag]) -> Iterator[str]:
    pattern = '*" {}"' if command == "*" else f'"{command} {{}}"'
    for flag in flags:
        if flag.choices:
            yield f'    {pattern.format(flag.name)}) words="{" ".join(flag.choices)}" ;;'
    named = [pattern.format(flag.name) for flag in flags if flag.files]
    free = [pattern.format(flag.name) for flag in flags if flag.is_free]
    if named:
        yield f"    {' | '.join(named)}) {_FILES} ;;"
    if free:
        yield f"    {' | '.join(free)}) return ;;"


def _words(vocabulary: Vocabulary) -> Iterator[str]:
    for name, command in vocabulary.commands.items():
        flags = [f"{flag.name}=" if flag.takes_value else flag.name for flag in vocabulary.flags_of(command)]
        yield f'    "{name}") words="{" ".join([*command.words, *flags])}" ;;'
