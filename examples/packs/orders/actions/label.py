"""Parameters come as JSON on standard input; what is printed is the result."""

import json
import sys

parcel = json.load(sys.stdin)
print(f"printing the label of order {parcel['order']}", file=sys.stderr)  # kept as a log
print(json.dumps({"label": f"No. {parcel['order']:05d}: {parcel['amount']} x {parcel['article']}"}))
