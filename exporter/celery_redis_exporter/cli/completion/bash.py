# SPDX-License-Identifier: Apache-2.0
"""Render the script for bash, 3.2 and later.

Input: the vocabulary. Output: text.
"""

from celery_redis_exporter.cli.completion.cases import Dialect, fill_script
from celery_redis_exporter.cli.completion.words import CommandWords, Flag, Vocabulary

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


def render_bash(vocabulary: Vocabulary) -> str:
    """Return the script."""
    return fill_script(_SCRIPT, vocabulary, _BASH)


def _words(command: CommandWords, flags: tuple[Flag, ...]) -> str:
    named = [f"{flag.name}=" if flag.takes_value else flag.name for flag in flags]
    return f'words="{" ".join([*command.words, *named])}"'


_BASH = Dialect(
    bar=" | ",
    branch="    {patterns}) {body} ;;",
    choices='words="{}"',
    files='COMPREPLY=($(compgen -f -P "$lead" -- "$current")); compopt -o filenames 2>/dev/null; return',
    words=_words,
)
