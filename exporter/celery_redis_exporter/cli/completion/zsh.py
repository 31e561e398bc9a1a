# SPDX-License-Identifier: Apache-2.0
"""Render the script for zsh. It can be sourced after compinit, or found on fpath.

Input: the vocabulary. Output: text.
"""

from celery_redis_exporter.cli.completion.cases import Dialect, fill_script
from celery_redis_exporter.cli.completion.words import CommandWords, Flag, Vocabulary

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
    """Return the script."""
    return fill_script(_SCRIPT, vocabulary, _ZSH)


def _words(command: CommandWords, flags: tuple[Flag, ...]) -> str:
    plain = [*command.words, *(flag.name for flag in flags if not flag.takes_value)]
    valued = [f"{flag.name}=" for flag in flags if flag.takes_value]
    return f"plain=({' '.join(plain)}) valued=({' '.join(valued)})"


_ZSH = Dialect(
    bar="|",
    branch="    ({patterns}) {body} ;;",
    choices="values=({})",
    files="[[ -n $lead ]] && compset -P '*='; _files; return",
    words=_words,
)
