"""What a user of the Python client does. Arguments: the URL and the master key."""

import datetime
import sys

import meilisearch
from meilisearch.errors import MeilisearchApiError

url, key = sys.argv[1:]
client = meilisearch.Client(url, key)
assert client.is_healthy()


def wait(task):
    done = client.wait_for_task(task.task_uid, timeout_in_ms=60_000)
    assert done.status == "succeeded", done
    return done


wait(client.create_index("python", {"primaryKey": "id"}))
index = client.index("python")
wait(index.update_settings({"filterableAttributes": ["genres", "year"], "sortableAttributes": ["year"]}))
wait(index.update_synonyms({"film": ["movie"]}))
assert index.get_synonyms() == {"film": ["movie"]}

films = [
    {"id": 1, "title": "Carol", "genres": ["Romance", "Drama"], "year": 2015},
    {"id": 2, "title": "Wonder Woman", "genres": ["Action"], "year": 2017},
    {"id": 3, "title": "Life of Pi", "genres": ["Drama"], "year": 2012},
]
task = wait(index.add_documents(films))
assert task.details["indexedDocuments"] == 3, task
wait(index.update_documents([{"id": 1, "seen": True}]))
assert index.get_document(1).seen is True
assert index.get_stats().number_of_documents == 3
assert index.get_documents({"limit": 2}).total == 3

found = index.search("carol", {"attributesToHighlight": ["title"]})
assert found["hits"][0]["_formatted"]["title"] == "<em>Carol</em>", found
found = index.search("", {"filter": "genres = Drama", "sort": ["year:asc"], "facets": ["genres"]})
assert [hit["id"] for hit in found["hits"]] == [3, 1], found
assert found["facetDistribution"] == {"genres": {"Drama": 2, "Romance": 1}}, found
assert index.facet_search("genres", "dra")["facetHits"] == [{"value": "Drama", "count": 2}]

found = client.multi_search([{"indexUid": "python", "q": "carol"}, {"indexUid": "python", "q": "pi"}])
assert [result["hits"][0]["id"] for result in found["results"]] == [1, 3], found
found = client.multi_search(
    [{"indexUid": "python", "q": "carol"}, {"indexUid": "python", "q": "pi"}], {"limit": 10}
)
assert sorted(hit["id"] for hit in found["hits"]) == [1, 3], found

search_key = client.create_key({"actions": ["search"], "indexes": ["python"], "expiresAt": None})
assert client.get_key(search_key.uid).key == search_key.key
assert any(known.uid == search_key.uid for known in client.get_keys({"limit": 100}).results)
token = client.generate_tenant_token(
    search_key.uid,
    {"python": {"filter": "year > 2013"}},
    api_key=search_key.key,
    expires_at=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1),
)
tenant = meilisearch.Client(url, token)
found = tenant.index("python").search("", {"sort": ["year:asc"]})
assert [hit["id"] for hit in found["hits"]] == [1, 2], found
try:
    tenant.index("python").add_documents(films)
    raise AssertionError("a tenant token may not write")
except MeilisearchApiError as error:
    assert error.code == "invalid_api_key", error
client.delete_key(search_key.uid)

wait(index.delete_document(1))
wait(index.delete_documents(filter="year < 2013"))
assert index.get_stats().number_of_documents == 1
assert client.get_tasks({"indexUids": ["python"], "statuses": ["failed"]}).results == []
wait(index.delete())
