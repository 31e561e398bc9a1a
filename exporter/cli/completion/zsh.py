"""The script for zsh: to be sourced behind compinit, or found on fpath.

Takes the vocabulary, gives text.
"""

from collections.abc import Iterable, Iterator

from exporter.cli.completion.words import Flag, Vocabulary

_SCRIPT = """\
#compdef celery-redis-exporter
# Completes celery-redis-exporter in zsh; made by: celery-redis-exporter completion zsh
_celery_redis_exporter() {
  local current=${words[CURRENT]} command=run flag="" lead=""
  local -a values plain valued
  if (( CURRENT > 2 )) && [[ ${words[2]} != -* ]]; then
    command=${words[2]}
    (( CURRENT > 3 )) && case "$command ${words[3]}" in
      (@NESTED@) command="$command ${words[3]}" ;;
    esac
  fi
  if [[ $current == --*=* ]]; then
    flag=${current%%=*} lead="$flag="
  elif [[ ${words[CURRENT-1]} == --* ]]; then
    flag=${words[CURRENT-1]}
  fi
  case "$command $flag" in
@VALUES@
  esac
  if (( $#values )); then
    compadd -- $lead$^values
    return
  fi
  case "$command" in
@FLAGS@
  esac
  (( CURRENT == 2 )) && plain+=(@COMMANDS@)
  compadd -- $plain
  compadd -S '' -- $valued
}
if [[ ${funcstack[1]} == _celery_redis_exporter ]]; then
  _celery_redis_exporter "$@"
else
  compdef _celery_redis_exporter celery-redis-exporter
fi
"""


def render_zsh(vocabulary: Vocabulary) -> str:
    """Give the script."""
    values = [*_cases("*", vocabulary.settings)]
    for name, command in vocabulary.commands.items():
        values += _cases(name, command.flags)
    return (
        _SCRIPT.replace("@NESTED@", "|".join(f'"{name}"' for name in vocabulary.nested))
        .replace("@VALUES@", "\n".join(values))
        .replace("@FLAGS@", "\n".join(_words(vocabulary)))
        .replace("@COMMANDS@", " ".join([*vocabulary.first, "--help", "--version"]))
    )


def _cases(command: str, flags: Iterable[Flag]) -> Iterator[str]:
    pattern = '*" {}"' if command == "*" else f'"{command} {{}}"'
    for flag in flags:
        if flag.choices:
            yield f"    ({pattern.format(flag.name)}) values=({' '.join(flag.choices)}) ;;"
    named = [pattern.format(flag.name) for flag in flags if flag.files]
    free = [pattern.format(flag.name) for flag in flags if flag.is_free]
    if named:
        yield f"    ({'|'.join(named)}) [[ -n $lead ]] && compset -P '*='; _files; return ;;"
    if free:
        yield f"    ({'|'.join(free)}) return ;;"


def _words(vocabulary: Vocabulary) -> Iterator[str]:
    for name, command in vocabulary.commands.items():
        flags = vocabulary.flags_of(command)
        plain = [*command.words, *(flag.name for flag in flags if not flag.takes_value)]
        valued = [f"{flag.name}=" for flag in flags if flag.takes_value]
        yield f'    ("{name}") plain=({" ".join(plain)}) valued=({" ".join(valued)}) ;;'
