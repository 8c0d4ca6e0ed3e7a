"""Uses the API as a stranger would: with nothing but the client that was generated from /openapi.json.

Arguments: the URL of the API, a key (may be empty). Ends with status 0 and the word "done" when all is as described.
"""

import sys

from linkr_client import AuthenticatedClient
from linkr_client.api.links import (
    create_link_in_default_domain,
    delete_link_in_default_domain,
    get_link_in_default_domain,
    list_links_in_default_domain,
    update_link_in_default_domain,
)
from linkr_client.models import Link, LinkQuery, LinkUpdate, LinkUpdateQuery, Problem

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key or "none")

made = create_link_in_default_domain.sync(
    client=client, body=Link(code="py/one", target="https://py.example/", tags=["a"]), idempotency_key="k-1"
)
assert isinstance(made, Link), made
assert made.code == "py/one" and made.target == "https://py.example/" and made.tags == ["a"], made
again = create_link_in_default_domain.sync(
    client=client, body=Link(code="py/one", target="https://py.example/", tags=["a"]), idempotency_key="k-1"
)
assert isinstance(again, Link) and again.revision == made.revision, again
taken = create_link_in_default_domain.sync(client=client, body=Link(code="py/one", target="https://other.example/"))
assert isinstance(taken, Problem) and taken.reason == "EXISTS", taken

read = get_link_in_default_domain.sync("py/one", client=client)
assert isinstance(read, Link) and read.create_time == made.create_time, read
changed = update_link_in_default_domain.sync(
    "py/one", client=client, body=LinkUpdate(query=LinkUpdateQuery.APPEND, title="from Python"), if_match=read.etag
)
assert isinstance(changed, Link) and changed.title == "from Python" and changed.query == LinkQuery.APPEND, changed
stale = update_link_in_default_domain.sync("py/one", client=client, body=LinkUpdate(title="x"), if_match=read.etag)
assert isinstance(stale, Problem) and stale.reason == "ETAG_MISMATCH", stale

for number in range(25):
    one = create_link_in_default_domain.sync(client=client, body=Link(target=f"https://py.example/{number}"))
    assert isinstance(one, Link) and len(one.code) == 7, one
seen, token = [], ""
while True:
    page = list_links_in_default_domain.sync(client=client, page_size=10, page_token=token)
    seen += [link.code for link in page.links]
    token = page.next_page_token
    if not token:
        break
assert len(seen) == 26 and seen == sorted(seen), seen

gone = delete_link_in_default_domain.sync("py/one", client=client)
assert isinstance(gone, Link) and gone.delete_time, gone
missing = get_link_in_default_domain.sync("py/none", client=client)
assert isinstance(missing, Problem) and missing.status == 404 and missing.reason == "NOT_FOUND", missing
print("done")
