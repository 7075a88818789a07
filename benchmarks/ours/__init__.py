"""Our side: each module is run as a process of its own and prints one JSON object.

Trimtab is imported before PyTorch, as by its program: threads wait as they do there.
"""

import trimtab as trimtab
