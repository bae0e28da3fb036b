// What a page with InstantSearch does. Environment: MIROIR_URL and MIROIR_KEY.

import assert from "node:assert/strict";
import { instantMeiliSearch } from "@meilisearch/instant-meilisearch";
import { Meilisearch } from "meilisearch";

const host = process.env.MIROIR_URL;
const apiKey = process.env.MIROIR_KEY;
const index = new Meilisearch({ host, apiKey }).index("instant");
const films = [
  { id: 1, title: "Carol", genres: ["Romance", "Drama"], year: 2015 },
  { id: 2, title: "Wonder Woman", genres: ["Action"], year: 2017 },
  { id: 3, title: "Life of Pi", genres: ["Drama"], year: 2012 },
];
await index.updateSettings({ filterableAttributes: ["genres", "year"], sortableAttributes: ["year"] }).waitTask({ timeout: 60_000 });
await index.addDocuments(films).waitTask({ timeout: 60_000 });

const { searchClient } = instantMeiliSearch(host, apiKey);
const { results } = await searchClient.search([
  {
    indexName: "instant",
    params: { query: "carol", facets: ["genres"], hitsPerPage: 2, page: 0, highlightPreTag: "<b>", highlightPostTag: "</b>" },
  },
  {
    indexName: "instant:year:desc",
    params: { query: "", facets: ["genres", "year"], facetFilters: [["genres:Drama"]], maxValuesPerFacet: 10 },
  },
]);
assert.equal(results[0].hits[0]._highlightResult.title.value, "<b>Carol</b>");
assert.deepEqual(results[1].hits.map((hit) => hit.id), [1, 3]);
assert.deepEqual(results[1].facets.genres, { Drama: 2, Romance: 1 });
