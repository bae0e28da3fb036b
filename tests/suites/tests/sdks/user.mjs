// What a user of the JavaScript client does. Environment: MIROIR_URL and MIROIR_KEY.

import assert from "node:assert/strict";
import { Meilisearch } from "meilisearch";
import { generateTenantToken } from "meilisearch/token";

const host = process.env.MIROIR_URL;
const client = new Meilisearch({ host, apiKey: process.env.MIROIR_KEY });
assert.equal((await client.health()).status, "available");

async function done(enqueued) {
  const task = await enqueued.waitTask({ timeout: 60_000 });
  assert.equal(task.status, "succeeded", JSON.stringify(task));
  return task;
}

await done(client.createIndex("javascript", { primaryKey: "id" }));
const index = client.index("javascript");
await done(index.updateSettings({ filterableAttributes: ["genres", "year"], sortableAttributes: ["year"] }));
await done(index.updateStopWords(["the"]));
assert.deepEqual(await index.getStopWords(), ["the"]);

const films = [
  { id: 1, title: "Carol", genres: ["Romance", "Drama"], year: 2015 },
  { id: 2, title: "Wonder Woman", genres: ["Action"], year: 2017 },
  { id: 3, title: "Life of Pi", genres: ["Drama"], year: 2012 },
];
const added = await done(index.addDocuments(films));
assert.equal(added.details.indexedDocuments, 3);
await done(index.updateDocuments([{ id: 1, seen: true }]));
assert.equal((await index.getDocument(1)).seen, true);
assert.equal((await index.getStats()).numberOfDocuments, 3);
assert.equal((await index.getDocuments({ limit: 2, filter: "genres = Drama" })).total, 2);

let found = await index.search("carol", { attributesToHighlight: ["title"] });
assert.equal(found.hits[0]._formatted.title, "<em>Carol</em>");
found = await index.search("", { filter: "genres = Drama", sort: ["year:asc"], facets: ["genres"] });
assert.deepEqual(found.hits.map((hit) => hit.id), [3, 1]);
assert.deepEqual(found.facetDistribution, { genres: { Drama: 2, Romance: 1 } });
found = await index.searchForFacetValues({ facetName: "genres", facetQuery: "dra" });
assert.deepEqual(found.facetHits, [{ value: "Drama", count: 2 }]);

const queries = [
  { indexUid: "javascript", q: "carol" },
  { indexUid: "javascript", q: "pi" },
];
found = await client.multiSearch({ queries });
assert.deepEqual(found.results.map((result) => result.hits[0].id), [1, 3]);
found = await client.multiSearch({ federation: {}, queries });
assert.deepEqual(found.hits.map((hit) => hit.id).sort(), [1, 3]);

const key = await client.createKey({ actions: ["search"], indexes: ["javascript"], expiresAt: null });
assert.equal((await client.getKey(key.uid)).key, key.key);
const token = await generateTenantToken({
  apiKey: key.key,
  apiKeyUid: key.uid,
  searchRules: { javascript: { filter: "year > 2013" } },
  expiresAt: new Date(Date.now() + 3_600_000),
});
const tenant = new Meilisearch({ host, apiKey: token }).index("javascript");
found = await tenant.search("", { sort: ["year:asc"] });
assert.deepEqual(found.hits.map((hit) => hit.id), [1, 2]);
await assert.rejects(async () => tenant.addDocuments(films), (error) => error.cause.code === "invalid_api_key");
await client.deleteKey(key.uid);

await done(index.deleteDocument(1));
await done(index.deleteDocuments({ filter: "year < 2013" }));
assert.equal((await index.getStats()).numberOfDocuments, 1);
await done(client.deleteIndex("javascript"));
