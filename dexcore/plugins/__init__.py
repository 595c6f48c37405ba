"""The installed plugins, behind typed doors, each behind a firewall.

:func:`find` looks once at what is installed and imports nothing; a plugin is imported
when the configuration file names what its entry point says it offers.  Whatever it does
then, from a syntax error to ``sys.exit()``, it takes nobody along.

* :mod:`.finding`    the scan: entry points of group ``dexcore``, and our own plugins
* :mod:`.plugin`     one plugin: importing it, checking it, asking for its offers
* :mod:`.facade`     ``Plugins``: every offer by the name the file uses
* :mod:`.known`      what to install for a type that nobody offers
* :mod:`.reporting`  what ``dexcore plugins`` shows
"""

from .facade import Extensions, Plugins
from .finding import find
from .reporting import PluginReport, render_report

__all__ = ["Extensions", "PluginReport", "Plugins", "find", "render_report"]
