"""The Chromium of the system, in which pages are measured and tested."""

import shutil

#: Its path, None where there is none.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
