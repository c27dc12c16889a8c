"""Writing a log line never fails, whatever has become of stdout: in a process of its own, which closes it."""

import subprocess
import sys

CODE = """
import logging, os
from fastworker import logs
logs.configure()
logging.info("a\\ud800")
for end in {ends}:
    os.dup2(end, 1)
    logs.log.info("one line")
os.close(1)
logs.log.info("into a closed descriptor")
os.write(2, b"done")
"""


def test_a_line_into_nothing_a_full_disk_or_a_closed_descriptor_raises_nothing() -> None:
    """The reader has ended, the disk is full, or somebody has closed it."""
    ends = "(os.pipe()[1], os.open('/dev/full', os.O_WRONLY))"
    code = CODE.replace("{ends}", ends).replace(
        "import os\n", "import os, signal\nsignal.signal(13, signal.SIG_IGN)\n", 1
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "done")
    assert done.stdout == "INFO a\\ud800\n"  # text that is no Unicode is escaped
