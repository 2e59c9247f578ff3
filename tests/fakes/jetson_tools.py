"""Stand-ins of NVIDIA's jetson_clocks and nvpmodel: shell scripts that keep their state in files, and write down their calls."""

import os

from autokd_edge.devices.link import LocalLink

# Questions and answers as the tools of JetPack 5 and 6 print them; jetson_clocks ends with 0 whatever failed.
NVPMODEL = r"""
echo "nvpmodel $*" >>calls
name() { sed -n "s/^< POWER_MODEL ID=$1 NAME=\(.*\) >$/\1/p" nvpmodel.conf; }
case $1 in
  -q) printf 'NVPM WARN: fan mode is not set!\nNV Power Mode: %s\n%s\n' "$(name "$(cat mode)")" "$(cat mode)" ;;
  -p) sed -n 's/^< \(POWER_MODEL\) \(.*\) >$/NVPM VERB: \1: \2/p' nvpmodel.conf ;;
  -m)
    if grep -qx "$2" restart; then
      echo "NVPM WARN: Reboot required for changing to this power mode: $2"
      echo "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
      read -r answer
      case $answer in YES|yes) touch restarted ;; *) echo "NVPM ERROR: optMask is 1, no request for power mode"; exit 255 ;; esac
    fi
    echo "$2" >mode ;;
esac
"""
JETSON_CLOCKS = r"""
echo "jetson_clocks $1" >>calls
case $1 in
  --store)
    [ ! -e "$2" ] || { echo "Error: file $2 already exists!"; exit 1; }
    cp clocks "$2" ;;
  --restore)
    [ -e "$2" ] || { echo "Error: $2 file not found !"; exit 1; }
    cp "$2" clocks ;;
  *)
    echo locked >clocks
    [ ! -e broken ] || echo "Error: Failed to max GPU frequency!"
    [ ! -e hang ] || { mv hang hangs; sleep 60; }
    [ ! -e cut ] || { rm cut; kill -9 0; } ;;
esac
exit 0
"""
CONF = """# < POWER_MODEL ID=id_num NAME=mode_name >
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=7W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""


class FakeTools(LocalLink):
    """This machine with other programs first on its PATH, for a user who may do everything; ``calls`` are theirs."""

    def __init__(self, folder):
        self.folder = folder
        self.bin, self.cache = folder / "bin", folder / "cache"
        self.bin.mkdir()
        self.install("id", "echo 0")

    def install(self, name, body):
        (self.bin / name).write_text(f"#!/bin/sh\ncd '{self.folder}'\n{body}\n")
        (self.bin / name).chmod(0o755)

    def run(self, argv, *, stdin, timeout_s):
        environment = [f"PATH={self.bin}:{os.environ['PATH']}", f"XDG_CACHE_HOME={self.cache}"]
        return super().run(["env", *environment, *argv], stdin=stdin, timeout_s=timeout_s)

    @property
    def kept(self):
        return self.cache / "autokd-edge" / "clocks"


class FakeJetsonTools(FakeTools):
    """A Jetson Orin Nano in mode 15W with free clocks; ``restart`` names modes that need a restart of the board."""

    def __init__(self, folder, *, restart=()):
        super().__init__(folder)
        self.conf = folder / "nvpmodel.conf"
        self.conf.write_text(CONF)
        for name, text in {"mode": "0", "clocks": "free", "restart": "\n".join(restart), "calls": ""}.items():
            (folder / name).write_text(f"{text}\n" if text else "")
        self.install("nvpmodel", NVPMODEL)
        self.install("jetson_clocks", JETSON_CLOCKS)

    @property
    def state(self):
        """Power mode and clocks."""
        return tuple((self.folder / name).read_text().strip() for name in ("mode", "clocks"))

    @property
    def changes(self):
        """Calls that change something."""
        calls = (self.folder / "calls").read_text().splitlines()
        return [call for call in calls if not call.startswith(("nvpmodel -q", "nvpmodel -p"))]
