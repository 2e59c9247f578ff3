"""The shell scripts that hold a device's clocks still and put them back: POSIX sh and coreutils alone, data by arguments only.

What the state was before is written down in ``clocks`` in the folder of ours on the device, each part of it before
that part is changed: a script that is cut off and run again, or the next run after one that died, finds it there and does
not take what we changed for what was. Files there: ``boot``, the start of the device that the rest is of; ``mode``,
nvpmodel's mode before and the one set by us, which outlasts a start; ``jetson_clocks``, what that tool stored;
``governors``, one a line before the path of its file; ``guard``, a path that is there as long as whoever locked the clocks
lives. A watcher on the device puts all back some time after that path is gone, so that a killed client leaves no board
that runs hot.
"""

from __future__ import annotations

# Two facts of NVIDIA's tools: nvpmodel asks for a restart of the board where a mode needs one, and leaves the mode as it is
# where the answer is no or there is none; jetson_clocks ends with status 0 whatever failed, and says "Error".
_BOTH = r"""
PATH=$PATH:/usr/sbin:/sbin
umask 077
kept=${XDG_CACHE_HOME:-$HOME/.cache}/autokd-edge/clocks
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
mode() { nvpmodel -q 2>/dev/null | sed -n 's/^ *\([0-9][0-9]*\) *$/\1/p' | tail -n 1; }
set_mode() {
  said=$(echo no | as_root nvpmodel -m "$1" 2>&1)
  [ "$(mode)" = "$1" ] && return
  case $said in *[Rr]eboot*) said="it needs a restart of the board" ;; esac
  return 1
}
jetson() {
  said=$(as_root jetson_clocks "$@" 2>&1 </dev/null) || return
  case $said in *Error*) return 1 ;; esac
}
governor() { said=$(echo "$1" | as_root tee "$2" 2>&1 >/dev/null); }
put_back() {
  failed=
  if [ -f "$kept/jetson_clocks" ]; then
    jetson --restore "$kept/jetson_clocks" || failed=$said
  fi
  if [ -f "$kept/governors" ]; then
    while read -r name path; do governor "$name" "$path" || failed=$said; done <"$kept/governors"
  fi
  if [ -f "$kept/mode" ]; then
    read -r before ours <"$kept/mode"
    if [ "$(mode)" = "$ours" ]; then
      set_mode "$before" || failed="power mode $before did not come back: $said"
    fi
  fi
  [ -z "$failed" ] && rm -rf "$kept"
}
"""

# $1 seconds that a guard may be gone, as while a lost connection is opened again.
WATCH = (
    _BOTH
    + r"""
grace=$1 gone=0 step=5
[ "$grace" -ge 30 ] || step=1
while [ -f "$kept/guard" ]; do
  read -r guard <"$kept/guard"
  if [ -e "$guard" ]; then gone=0; else gone=$((gone + step)); fi
  [ "$gone" -lt "$grace" ] || { put_back; exit; }
  sleep "$step"
done
"""
)

# $1 folder of the cores, $2 nvpmodel's file of modes, $3 seconds of grace, $4 the watcher, then the names of the power
# modes, the fastest first. Prints what holds the clocks, then, where there is something to say of the power mode, that.
LOCK = (
    _BOTH
    + r"""
cores=$1 modes=$2 grace=$3 watch=$4
shift 4
give_up() {
  why=$1
  put_back || why="$why; what was changed could not be put back: $failed"
  echo "$why" >&2
  exit 1
}
read -r boot </proc/sys/kernel/random/boot_id
mkdir -p "$kept" || exit
was=
[ ! -f "$kept/boot" ] || read -r was <"$kept/boot"
[ "$was" = "$boot" ] || rm -f "$kept/jetson_clocks" "$kept/governors"
echo "$boot" >"$kept/boot" || exit
# The guard is the session of a link, or the process that asked; the watcher has a session of its own, to outlive this one.
echo "${AUTOKD_EDGE_SESSION:-/proc/$PPID}" >"$kept/guard" || exit
setsid sh -c "$watch" sh "$grace" </dev/null >/dev/null 2>&1 &
how= note=
if [ $# -gt 0 ] && command -v nvpmodel >/dev/null; then
  now=$(mode)
  known=$({ cat "$modes"; nvpmodel -p --verbose; } 2>/dev/null | sed -n \
    -e 's/^ *< *POWER_MODEL  *ID=\([0-9][0-9]*\)  *NAME=\([^ >]*\).*/\1 \2/p' \
    -e 's/.*POWER_MODEL: *ID=\([0-9][0-9]*\)  *NAME=\([^ >]*\).*/\1 \2/p')
  wanted=
  for name; do
    wanted=$(echo "$known" | while read -r id other; do [ "$other" != "$name" ] || { echo "$id"; break; }; done)
    [ -z "$wanted" ] || break
  done
  before=$now ours=
  [ ! -f "$kept/mode" ] || read -r first ours <"$kept/mode"
  [ -z "$ours" ] || [ "$ours" != "$now" ] || before=$first
  if [ -z "$now" ] || [ -z "$wanted" ]; then
    note="power mode as it was: nvpmodel knows none of $*"
  else
    echo "$before $wanted" >"$kept/mode" || exit
    if [ "$now" = "$wanted" ]; then
      if [ "$before" = "$wanted" ]; then rm -f "$kept/mode"; else how="nvpmodel ($name) and "; fi
    elif set_mode "$wanted"; then
      how="nvpmodel ($name) and "
    else
      if [ "$before" = "$now" ]; then rm -f "$kept/mode"; else echo "$before $now" >"$kept/mode"; fi
      note="power mode as it was, $name could not be set: $(echo "$said" | tail -n 1)"
    fi
  fi
fi
if command -v jetson_clocks >/dev/null; then
  if [ ! -f "$kept/jetson_clocks" ]; then
    rm -f "$kept/part"
    jetson --store "$kept/part" && mv "$kept/part" "$kept/jetson_clocks" || give_up "$said"
  fi
  jetson || give_up "$said"
  how="${how}jetson_clocks"
else
  if [ ! -f "$kept/governors" ]; then
    : >"$kept/part"
    for path in "$cores"/cpu[0-9]*/cpufreq/scaling_governor; do
      [ -r "$path" ] || continue
      read -r name <"$path"
      echo "$name $path" >>"$kept/part"
    done
    [ -s "$kept/part" ] || give_up "the machine has no governor"
    mv "$kept/part" "$kept/governors" || exit
  fi
  while read -r name path; do governor performance "$path" || give_up "$said"; done <"$kept/governors"
  how="${how}governor"
fi
echo "$how"
echo "$note"
"""
)

RESTORE = (
    _BOTH
    + r"""
put_back || { echo "$failed" >&2; exit 1; }
"""
)
