"""The shell scripts that run on a board: POSIX sh and coreutils alone, data by arguments only.

The folder of ours there, $1 of most of them: ``files/DIGEST/bytes`` with the names it was asked by under
``files/DIGEST/as``, kept under a size limit, the least recently used first out; ``made`` for what programs
there write; ``sessions`` for what runs; ``venv`` for runtimes.
"""

from __future__ import annotations

# Runs a program in front of a line "MARK began GROUP", so that what a login script prints is told from what
# the program says. $1 mark, $2 folder of the session, then the program. The group is this shell's own; an
# emulator of programs leaves it out of /proc/self/stat. The program is told the folder, which is there as long as we are heard of.
RUN = """
LC_ALL=C; export LC_ALL
mark=$1 session=$2; shift 2
AUTOKD_EDGE_SESSION=$session; export AUTOKD_EDGE_SESSION
command -v "$1" >/dev/null || { echo "$mark absent 0"; exit 127; }
while read -r name value rest; do
  [ "$name" != NSpgid: ] || group=$value
done </proc/self/status
: >"$session/$group"
echo "$mark began $group"
"$@"
status=$?
rm -f "$session/$group"
exit $status
"""

# Kill a group of processes, $1.
END = 'kill -9 "-$1"'

# $1 root, $2 digest, $3 name, $4 "checked" where the bytes were compared in this session: says have or need.
HAVE = """
folder=$1/files/$2
if [ -f "$folder/bytes" ] && { [ "$4" = checked ] || [ "$(sha256sum <"$folder/bytes")" = "$2  -" ]; }; then
  touch "$folder"
  [ -f "$folder/as/$3" ] || ln "$folder/bytes" "$folder/as/$3" || cp -p "$folder/bytes" "$folder/as/$3" || exit
  echo have
else
  rm -rf "$folder"
  echo need
fi
"""

# $1 root, $2 digest, $3 name, $4 mode, $5 kB for all files together, $6 mark of the session; the bytes on stdin.
PUT = """
umask 077
part=$1/made/part-$6-$$ folder=$1/files/$2
mkdir -p "$1/made" "$folder/as" || exit
if cat >"$part" && [ "$(sha256sum <"$part")" = "$2  -" ] && chmod "$4" "$part" && mv -f "$part" "$folder/bytes"; then
  ln -f "$folder/bytes" "$folder/as/$3" || cp -p "$folder/bytes" "$folder/as/$3" || exit
else
  rm -rf "$part" "$folder"
  echo "the file did not arrive whole" >&2
  exit 1
fi
cd "$1/files" || exit
ls -t | xargs du -sk | {
  read -r total newest
  while read -r size name; do
    total=$((total + size))
    [ "$total" -le "$5" ] || rm -rf "./$name"
  done
}
find "$1/made" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf {} +
"""

# $1 root, $2 a name of its own: makes a place for a file.
PLACE = 'umask 077; mkdir -p "$1/made/$2"'

# $1 root, $2 path: the digest, a line end, the bytes. What was made here is kept by its digest, to be not sent again.
PULL = """
[ -f "$2" ] || { echo "no such file: $2" >&2; exit 1; }
sum=$(sha256sum <"$2") || exit
sum=${sum%% *}
case $2 in "$1"/made/*)
  folder=$1/files/$sum
  mkdir -p "$folder/as" && { ln -f "$2" "$folder/bytes" || cp -p "$2" "$folder/bytes"; } || exit ;;
esac
echo "$sum"
cat "$2" || exit
case $2 in "$1"/made/*) rm -rf "${2%/*}" ;; esac
"""

# $1 root: the Python that drives runtimes, of our own virtual environment where there is one.
PYTHON = '[ -x "$1/venv/bin/python" ] && echo "$1/venv/bin/python" || command -v python3'
