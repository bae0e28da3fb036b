//! Every error code that Meilisearch 1.50 knows: a request that gives it, or the reason why there is none.

use std::collections::BTreeSet;

use miroir_harness::Method;
use serde_json::{Value, json};

use crate::PAIR;
use crate::case::{Case, prepare};

/// Meilisearch 1.50's codes (`crates/meilisearch-types/src/error.rs`).
const CODES: [&str; 290] = [
    "api_key_already_exists",
    "api_key_not_found",
    "index_scoped_api_key_with_global_action",
    "bad_parameter",
    "bad_request",
    "database_size_limit_reached",
    "document_not_found",
    "dump_already_processing",
    "dump_not_found",
    "dump_process_failed",
    "duplicate_index_found",
    "immutable_api_key_actions",
    "immutable_api_key_created_at",
    "immutable_api_key_expires_at",
    "immutable_api_key_indexes",
    "immutable_api_key_key",
    "immutable_api_key_uid",
    "immutable_api_key_updated_at",
    "immutable_index_created_at",
    "immutable_index_updated_at",
    "import_task_already_received",
    "import_task_unknown_remote",
    "receive_import_finished_unknown_remote",
    "import_task_without_network_task",
    "index_already_exists",
    "index_creation_failed",
    "index_not_found",
    "index_primary_key_already_exists",
    "index_primary_key_multiple_candidates_found",
    "index_primary_key_no_candidate_found",
    "internal",
    "invalid_api_key",
    "invalid_api_key_actions",
    "invalid_api_key_description",
    "invalid_api_key_expires_at",
    "invalid_api_key_indexes",
    "invalid_api_key_limit",
    "invalid_api_key_name",
    "invalid_api_key_offset",
    "invalid_api_key_uid",
    "invalid_content_type",
    "invalid_document_csv_delimiter",
    "invalid_document_fields",
    "invalid_document_retrieve_vectors",
    "missing_document_filter",
    "missing_document_edition_function",
    "inconsistent_document_change_headers",
    "invalid_document_filter",
    "invalid_document_sort",
    "invalid_document_use_network",
    "invalid_document_geo_field",
    "invalid_document_geojson_field",
    "invalid_header_value",
    "invalid_vector_dimensions",
    "invalid_vectors_type",
    "invalid_document_id",
    "invalid_document_ids",
    "invalid_document_limit",
    "invalid_document_offset",
    "invalid_search_embedder",
    "invalid_similar_embedder",
    "invalid_search_hybrid_query",
    "invalid_index_limit",
    "invalid_index_offset",
    "invalid_index_primary_key",
    "invalid_index_custom_metadata",
    "invalid_skip_creation",
    "invalid_index_uid",
    "invalid_multi_search_facets",
    "invalid_multi_search_facets_by_index",
    "invalid_multi_search_facet_order",
    "invalid_multi_search_query_personalization",
    "invalid_multi_search_query_show_performance_details",
    "invalid_multi_search_federated",
    "invalid_multi_search_federation_options",
    "invalid_multi_search_max_values_per_facet",
    "invalid_multi_search_merge_facets",
    "invalid_multi_search_query_facets",
    "invalid_multi_search_distinct",
    "invalid_multi_search_query_pagination",
    "invalid_multi_search_query_ranking_rules",
    "invalid_multi_search_query_position",
    "invalid_multi_search_remote",
    "invalid_multi_search_weight",
    "invalid_network_leader",
    "invalid_network_remotes",
    "invalid_network_shards",
    "invalid_network_self",
    "invalid_network_search_api_key",
    "invalid_network_write_api_key",
    "invalid_network_url",
    "invalid_search_attributes_to_search_on",
    "invalid_search_attributes_to_crop",
    "invalid_search_attributes_to_highlight",
    "invalid_similar_attributes_to_retrieve",
    "invalid_similar_retrieve_vectors",
    "invalid_search_attributes_to_retrieve",
    "invalid_search_ranking_score_threshold",
    "invalid_similar_ranking_score_threshold",
    "invalid_search_retrieve_vectors",
    "invalid_search_crop_length",
    "invalid_search_crop_marker",
    "invalid_search_facets",
    "invalid_search_semantic_ratio",
    "invalid_search_locales",
    "invalid_facet_search_exhaustive_facet_count",
    "invalid_facet_search_facet_name",
    "invalid_similar_id",
    "invalid_search_filter",
    "invalid_similar_filter",
    "invalid_search_highlight_post_tag",
    "invalid_search_highlight_pre_tag",
    "invalid_search_hits_per_page",
    "invalid_similar_limit",
    "invalid_search_limit",
    "invalid_search_matching_strategy",
    "invalid_similar_offset",
    "invalid_search_offset",
    "invalid_search_page",
    "invalid_search_q",
    "invalid_facet_search_query",
    "invalid_facet_search_name",
    "facet_search_disabled",
    "invalid_search_vector",
    "invalid_search_media",
    "invalid_search_show_matches_position",
    "invalid_search_show_ranking_score",
    "invalid_similar_show_ranking_score",
    "invalid_search_show_ranking_score_details",
    "invalid_search_show_performance_details",
    "invalid_search_use_network",
    "invalid_similar_show_ranking_score_details",
    "invalid_similar_show_performance_details",
    "invalid_search_sort",
    "invalid_search_distinct",
    "invalid_search_personalize",
    "invalid_search_personalize_user_context",
    "invalid_search_media_and_vector",
    "invalid_settings_displayed_attributes",
    "invalid_settings_distinct_attribute",
    "invalid_settings_proximity_precision",
    "invalid_settings_facet_search",
    "invalid_settings_prefix_search",
    "invalid_settings_faceting",
    "invalid_settings_filterable_attributes",
    "invalid_settings_foreign_keys",
    "invalid_settings_pagination",
    "invalid_settings_search_cutoff_ms",
    "invalid_settings_embedders",
    "invalid_settings_ranking_rules",
    "invalid_settings_searchable_attributes",
    "invalid_settings_sortable_attributes",
    "invalid_settings_stop_words",
    "invalid_settings_non_separator_tokens",
    "invalid_settings_separator_tokens",
    "invalid_settings_dictionary",
    "invalid_settings_synonyms",
    "invalid_settings_typo_tolerance",
    "invalid_settings_localized_attributes",
    "invalid_state",
    "invalid_stats_show_internal_database_sizes",
    "invalid_stats_size_format",
    "invalid_store_file",
    "invalid_swap_duplicate_index_found",
    "invalid_swap_indexes",
    "invalid_swap_rename",
    "invalid_task_after_enqueued_at",
    "invalid_task_after_finished_at",
    "invalid_task_after_started_at",
    "invalid_task_before_enqueued_at",
    "invalid_task_before_finished_at",
    "invalid_task_before_started_at",
    "invalid_task_canceled_by",
    "invalid_task_from",
    "invalid_task_limit",
    "invalid_task_reverse",
    "invalid_task_statuses",
    "invalid_task_types",
    "invalid_task_uids",
    "invalid_batch_uids",
    "io_error",
    "feature_not_enabled",
    "malformed_payload",
    "max_fields_limit_exceeded",
    "missing_api_key_actions",
    "missing_api_key_expires_at",
    "missing_api_key_indexes",
    "missing_authorization_header",
    "missing_content_type",
    "missing_document_id",
    "missing_facet_search_facet_name",
    "missing_index_uid",
    "missing_master_key",
    "missing_network_url",
    "missing_payload",
    "missing_search_hybrid",
    "missing_swap_indexes",
    "missing_task_filters",
    "network_version_mismatch",
    "no_space_left_on_device",
    "not_leader",
    "payload_too_large",
    "remote_bad_response",
    "remote_bad_request",
    "unknown_remote",
    "remote_could_not_send_request",
    "remote_invalid_api_key",
    "remote_remote_error",
    "remote_timeout",
    "too_many_search_requests",
    "task_not_found",
    "task_file_not_found",
    "batch_not_found",
    "too_many_open_files",
    "too_many_vectors",
    "unexpected_network_previous_remotes",
    "network_version_too_old",
    "unprocessed_network_task",
    "unretrievable_document",
    "unretrievable_error_code",
    "unsupported_media_type",
    "invalid_s3_snapshot_request",
    "invalid_s3_snapshot_parameters",
    "s3_snapshot_server_error",
    "vector_embedding_error",
    "not_found_similar_id",
    "invalid_document_edition_context",
    "invalid_document_edition_function_filter",
    "edit_documents_by_function_error",
    "invalid_document_edition_context",
    "invalid_search_media",
    "invalid_settings_index_chat",
    "invalid_export_url",
    "invalid_export_api_key",
    "invalid_export_payload_size",
    "invalid_export_indexes_patterns",
    "invalid_export_index_filter",
    "invalid_export_index_override_settings",
    "unimplemented_external_function_calling",
    "unimplemented_non_streaming_chat_completions",
    "unimplemented_multi_choice_chat_completions",
    "chat_not_found",
    "invalid_chat_setting_document_template",
    "invalid_chat_completion_org_id",
    "invalid_chat_completion_project_id",
    "invalid_chat_completion_api_version",
    "invalid_chat_completion_deployment_id",
    "invalid_chat_completion_source",
    "invalid_chat_completion_base_api",
    "invalid_chat_completion_api_key",
    "invalid_chat_completion_prompts",
    "invalid_chat_completion_system_prompt",
    "invalid_chat_completion_search_description_prompt",
    "invalid_chat_completion_search_query_param_prompt",
    "invalid_chat_completion_search_filter_param_prompt",
    "invalid_chat_completion_search_index_uid_param_prompt",
    "invalid_chat_completion_pre_query_prompt",
    "invalid_index_fields_filter",
    "invalid_index_fields_filter_attribute_patterns",
    "invalid_index_fields_filter_displayed",
    "invalid_index_fields_filter_searchable",
    "invalid_index_fields_filter_sortable",
    "invalid_index_fields_filter_distinct",
    "invalid_index_fields_filter_ranking_rule",
    "invalid_index_fields_filter_filterable",
    "requires_enterprise_edition",
    "invalid_render_template",
    "invalid_render_input",
    "render_document_not_found",
    "template_parsing_error",
    "template_rendering_error",
    "invalid_webhooks",
    "invalid_webhook_url",
    "invalid_webhook_headers",
    "immutable_webhook",
    "invalid_webhook_uuid",
    "webhook_not_found",
    "immutable_webhook_uuid",
    "immutable_webhook_is_editable",
    "invalid_dynamic_search_rule_offset",
    "invalid_dynamic_search_rule_limit",
    "invalid_dynamic_search_rule_filter",
    "invalid_dynamic_search_rule_description",
    "invalid_dynamic_search_rule_priority",
    "invalid_dynamic_search_rule_active",
    "invalid_dynamic_search_rule_conditions",
    "invalid_dynamic_search_rule_actions",
    "invalid_dynamic_search_rule_filter_query",
    "invalid_dynamic_search_rule_filter_active",
    "dynamic_search_rule_not_found",
];

/// Codes that no case gives, and why.
const REASONS: [(&str, &[&str]); 14] = [
    (
        "of the way that documents were indexed before 1.50",
        &["too_many_vectors", "invalid_document_geojson_field"],
    ),
    (
        "a node alone has another limit: see `documents::a_body_over_the_limit_is_refused`",
        &["payload_too_large"],
    ),
    (
        "never given by Meilisearch 1.50 on any route",
        &[
            "bad_parameter",
            "dump_not_found",
            "dump_process_failed",
            "duplicate_index_found",
            "immutable_api_key_key",
            "index_creation_failed",
            "invalid_multi_search_facets",
            "invalid_multi_search_federated",
            "invalid_facet_search_name",
            "invalid_state",
            "unretrievable_document",
            "unretrievable_error_code",
            "unsupported_media_type",
            "dump_already_processing",
            "invalid_webhooks",
            "invalid_index_custom_metadata",
        ],
    ),
    (
        "the disk or the process would have to fail",
        &[
            "database_size_limit_reached",
            "internal",
            "invalid_store_file",
            "io_error",
            "no_space_left_on_device",
            "too_many_open_files",
            "task_file_not_found",
        ],
    ),
    ("a document of more than 65,535 fields, which takes minutes", &["max_fields_limit_exceeded"]),
    ("only without a master key, and Miroir's nodes here have one", &["missing_master_key"]),
    ("only under more searches at once than a machine of two cores can make", &["too_many_search_requests"]),
    ("only from an embedder that is a service outside", &["vector_embedding_error"]),
    (
        "given after the feature of another test is switched on: see routes::documents and routes::instance",
        &[
            "edit_documents_by_function_error",
            "invalid_document_edition_context",
            "invalid_search_media",
            "render_document_not_found",
            "template_parsing_error",
            "template_rendering_error",
            "dynamic_search_rule_not_found",
        ],
    ),
    ("only about a webhook that the command line gives", &["immutable_webhook"]),
    (
        "of snapshots on S3, which Meilisearch's own options set up",
        &["invalid_s3_snapshot_request", "invalid_s3_snapshot_parameters", "s3_snapshot_server_error"],
    ),
    (
        "of Meilisearch's own network of servers, which Miroir refuses",
        &[
            "import_task_already_received",
            "import_task_unknown_remote",
            "receive_import_finished_unknown_remote",
            "import_task_without_network_task",
            "inconsistent_document_change_headers",
            "invalid_header_value",
            "invalid_network_leader",
            "invalid_network_remotes",
            "invalid_network_shards",
            "invalid_network_self",
            "invalid_network_search_api_key",
            "invalid_network_write_api_key",
            "invalid_network_url",
            "missing_network_url",
            "network_version_mismatch",
            "not_leader",
            "remote_bad_response",
            "remote_bad_request",
            "unknown_remote",
            "remote_could_not_send_request",
            "remote_invalid_api_key",
            "remote_remote_error",
            "remote_timeout",
            "unexpected_network_previous_remotes",
            "network_version_too_old",
            "unprocessed_network_task",
            "requires_enterprise_edition",
        ],
    ),
    (
        "of exports, which Miroir refuses",
        &[
            "invalid_export_url",
            "invalid_export_api_key",
            "invalid_export_payload_size",
            "invalid_export_indexes_patterns",
            "invalid_export_index_filter",
            "invalid_export_index_override_settings",
        ],
    ),
    (
        "of chats, which Miroir refuses",
        &[
            "unimplemented_external_function_calling",
            "unimplemented_non_streaming_chat_completions",
            "unimplemented_multi_choice_chat_completions",
            "chat_not_found",
            "invalid_chat_setting_document_template",
            "invalid_chat_completion_org_id",
            "invalid_chat_completion_project_id",
            "invalid_chat_completion_api_version",
            "invalid_chat_completion_deployment_id",
            "invalid_chat_completion_source",
            "invalid_chat_completion_base_api",
            "invalid_chat_completion_api_key",
            "invalid_chat_completion_prompts",
            "invalid_chat_completion_system_prompt",
            "invalid_chat_completion_search_description_prompt",
            "invalid_chat_completion_search_query_param_prompt",
            "invalid_chat_completion_search_filter_param_prompt",
            "invalid_chat_completion_search_index_uid_param_prompt",
            "invalid_chat_completion_pre_query_prompt",
        ],
    ),
];

/// Codes that the embedded node can't give, for what it lacks.
const REAL_ONLY: [(&str, &str); 26] = [
    ("invalid_multi_search_query_ranking_rules", "comparison of ranking rules"),
    ("invalid_multi_search_facet_order", "comparison of facet orders"),
    ("invalid_search_personalize", "personalization"),
    ("invalid_search_personalize_user_context", "personalization"),
    ("invalid_search_media_and_vector", "multimodal embedders"),
    ("invalid_settings_foreign_keys", "foreign keys"),
    ("invalid_settings_index_chat", "chats"),
    ("invalid_webhook_url", "webhooks"),
    ("invalid_webhook_headers", "webhooks"),
    ("invalid_webhook_uuid", "webhooks"),
    ("webhook_not_found", "webhooks"),
    ("immutable_webhook_uuid", "webhooks"),
    ("immutable_webhook_is_editable", "webhooks"),
    ("invalid_dynamic_search_rule_offset", "dynamic search rules"),
    ("invalid_dynamic_search_rule_limit", "dynamic search rules"),
    ("invalid_dynamic_search_rule_filter", "dynamic search rules"),
    ("invalid_dynamic_search_rule_filter_query", "dynamic search rules"),
    ("invalid_dynamic_search_rule_filter_active", "dynamic search rules"),
    ("invalid_dynamic_search_rule_description", "dynamic search rules"),
    ("invalid_dynamic_search_rule_priority", "dynamic search rules"),
    ("invalid_dynamic_search_rule_active", "dynamic search rules"),
    ("invalid_dynamic_search_rule_conditions", "dynamic search rules"),
    ("invalid_dynamic_search_rule_actions", "dynamic search rules"),
    ("invalid_render_template", "templates to render"),
    ("invalid_render_input", "templates to render"),
    ("invalid_skip_creation", "updates of documents that are there alone"),
];

/// A key that is there.
const KEY: &str = "00000000-0000-4000-8000-00000000c0de";

/// For each code, a request that gives it.
fn cases() -> Vec<(&'static str, Case)> {
    vec![
        (
            "api_key_already_exists",
            Case::post(
                "/keys",
                r#"{"actions": ["search"], "indexes": ["*"], "expiresAt": null, "uid": "00000000-0000-4000-8000-00000000c0de"}"#,
            ),
        ),
        ("api_key_not_found", Case::get("/keys/nobody")),
        (
            "index_scoped_api_key_with_global_action",
            Case::post("/keys", r#"{"actions": ["version"], "indexes": ["coded"], "expiresAt": null}"#),
        ),
        ("bad_request", Case::post("/indexes/coded/search", r#"{"nope":1}"#)),
        ("document_not_found", Case::get("/indexes/coded/documents/99")),
        (
            "immutable_api_key_actions",
            Case::post("/keys/00000000-0000-4000-8000-00000000c0de", r#"{"actions":1}"#)
                .with_method(Method::PATCH),
        ),
        (
            "immutable_api_key_created_at",
            Case::post("/keys/00000000-0000-4000-8000-00000000c0de", r#"{"createdAt":1}"#)
                .with_method(Method::PATCH),
        ),
        (
            "immutable_api_key_expires_at",
            Case::post("/keys/00000000-0000-4000-8000-00000000c0de", r#"{"expiresAt":1}"#)
                .with_method(Method::PATCH),
        ),
        (
            "immutable_api_key_indexes",
            Case::post("/keys/00000000-0000-4000-8000-00000000c0de", r#"{"indexes":1}"#)
                .with_method(Method::PATCH),
        ),
        (
            "immutable_api_key_uid",
            Case::post("/keys/00000000-0000-4000-8000-00000000c0de", r#"{"uid":1}"#)
                .with_method(Method::PATCH),
        ),
        (
            "immutable_api_key_updated_at",
            Case::post("/keys/00000000-0000-4000-8000-00000000c0de", r#"{"updatedAt":1}"#)
                .with_method(Method::PATCH),
        ),
        (
            "immutable_index_created_at",
            Case::post("/indexes/coded", r#"{"createdAt":1}"#).with_method(Method::PATCH),
        ),
        (
            "immutable_index_updated_at",
            Case::post("/indexes/coded", r#"{"updatedAt":1}"#).with_method(Method::PATCH),
        ),
        ("index_already_exists", Case::post("/indexes", r#"{"uid":"coded"}"#)),
        ("index_not_found", Case::get("/indexes/nowhere")),
        (
            "index_primary_key_already_exists",
            Case::post("/indexes/coded", r#"{"primaryKey":"isbn"}"#).with_method(Method::PATCH),
        ),
        (
            "index_primary_key_multiple_candidates_found",
            Case::post("/indexes/coded_keys/documents", r#"[{"a_id":1,"b_id":2}]"#),
        ),
        (
            "index_primary_key_no_candidate_found",
            Case::post("/indexes/coded_keys/documents", r#"[{"name":"x"}]"#),
        ),
        ("invalid_api_key", Case::get("/indexes").with_key("nope")),
        (
            "invalid_api_key_actions",
            Case::post("/keys", r#"{"actions": ["eat"], "indexes": ["*"], "expiresAt": null}"#),
        ),
        (
            "invalid_api_key_description",
            Case::post(
                "/keys",
                r#"{"actions": ["search"], "indexes": ["*"], "expiresAt": null, "description": 1}"#,
            ),
        ),
        (
            "invalid_api_key_expires_at",
            Case::post("/keys", r#"{"actions": ["search"], "indexes": ["*"], "expiresAt": "1999-01-01"}"#),
        ),
        (
            "invalid_api_key_indexes",
            Case::post("/keys", r#"{"actions": ["search"], "indexes": ["a b"], "expiresAt": null}"#),
        ),
        (
            "invalid_api_key_name",
            Case::post("/keys", r#"{"actions": ["search"], "indexes": ["*"], "expiresAt": null, "name": 1}"#),
        ),
        (
            "invalid_api_key_uid",
            Case::post(
                "/keys",
                r#"{"actions": ["search"], "indexes": ["*"], "expiresAt": null, "uid": "1"}"#,
            ),
        ),
        ("invalid_api_key_limit", Case::get("/keys?limit=x")),
        ("invalid_api_key_offset", Case::get("/keys?offset=x")),
        ("invalid_content_type", Case::post("/indexes/coded/search", "{}").with_type(Some("text/plain"))),
        (
            "invalid_document_csv_delimiter",
            Case::post("/indexes/coded/documents?csvDelimiter=%C3%A9", "id").with_type(Some("text/csv")),
        ),
        ("invalid_document_fields", Case::post("/indexes/coded/documents/fetch", r#"{"fields":1}"#)),
        (
            "invalid_document_retrieve_vectors",
            Case::post("/indexes/coded/documents/fetch", r#"{"retrieveVectors":1}"#),
        ),
        ("missing_document_filter", Case::post("/indexes/coded/documents/delete", "{}")),
        ("missing_document_edition_function", Case::post("/indexes/coded/documents/edit", "{}")),
        ("invalid_document_filter", Case::post("/indexes/coded/documents/delete", r#"{"filter":"genre ="}"#)),
        ("invalid_document_sort", Case::post("/indexes/coded/documents/fetch", r#"{"sort":["title:asc"]}"#)),
        ("invalid_document_use_network", Case::post("/indexes/coded/documents/fetch", r#"{"useNetwork":1}"#)),
        (
            "invalid_document_geo_field",
            Case::post("/indexes/coded_geo/documents", r#"[{"id":1,"_geo":"x"}]"#),
        ),
        (
            "invalid_vector_dimensions",
            Case::post("/indexes/coded_vectors/search", r#"{"vector":[1.0],"hybrid":{"embedder":"e"}}"#),
        ),
        (
            "invalid_vectors_type",
            Case::post(
                "/indexes/coded_vectors/documents",
                r#"[{"id":1,"_vectors":{"e":{"regenerate":"x"}}}]"#,
            ),
        ),
        ("invalid_document_id", Case::post("/indexes/coded/documents", r#"[{"id":"a b"}]"#)),
        ("invalid_document_ids", Case::post("/indexes/coded/documents/fetch", r#"{"ids":["a b"]}"#)),
        ("invalid_document_limit", Case::get("/indexes/coded/documents?limit=x")),
        ("invalid_document_offset", Case::get("/indexes/coded/documents?offset=x")),
        (
            "invalid_search_embedder",
            Case::post("/indexes/coded_vectors/search", r#"{"q":"a","hybrid":{"embedder":"nope"}}"#),
        ),
        (
            "invalid_similar_embedder",
            Case::post("/indexes/coded_vectors/similar", r#"{"id":1,"embedder":"nope"}"#),
        ),
        ("invalid_search_hybrid_query", Case::post("/indexes/coded/search", r#"{"hybrid":1}"#)),
        ("invalid_index_limit", Case::get("/indexes?limit=x")),
        ("invalid_index_offset", Case::get("/indexes?offset=x")),
        ("invalid_index_primary_key", Case::post("/indexes", r#"{"uid":"coded_keys","primaryKey":1}"#)),
        ("invalid_index_uid", Case::get("/indexes/a.b")),
        ("invalid_skip_creation", Case::post("/indexes/coded/documents?skipCreation=x", "[]")),
        (
            "invalid_multi_search_facets_by_index",
            Case::post(
                "/multi-search",
                r#"{"federation":{"facetsByIndex":1},"queries":[{"indexUid":"coded"}]}"#,
            ),
        ),
        (
            "invalid_multi_search_merge_facets",
            Case::post(
                "/multi-search",
                r#"{"federation":{"mergeFacets":1},"queries":[{"indexUid":"coded"}]}"#,
            ),
        ),
        (
            "invalid_multi_search_max_values_per_facet",
            Case::post(
                "/multi-search",
                r#"{"federation":{"mergeFacets":{"maxValuesPerFacet":-1}},"queries":[{"indexUid":"coded"}]}"#,
            ),
        ),
        (
            "invalid_multi_search_federation_options",
            Case::post(
                "/multi-search",
                r#"{"federation":null,"queries":[{"indexUid":"coded","federationOptions":{}}]}"#,
            ),
        ),
        (
            "invalid_multi_search_query_facets",
            Case::post(
                "/multi-search",
                r#"{"federation":{},"queries":[{"indexUid":"coded","facets":["genre"]}]}"#,
            ),
        ),
        (
            "invalid_multi_search_query_pagination",
            Case::post("/multi-search", r#"{"federation":{},"queries":[{"indexUid":"coded","limit":1}]}"#),
        ),
        (
            "invalid_multi_search_distinct",
            Case::post(
                "/multi-search",
                r#"{"federation":{"distinct":"genre"},"queries":[{"indexUid":"coded","distinct":"genre"}]}"#,
            ),
        ),
        (
            "invalid_multi_search_query_ranking_rules",
            Case::post(
                "/multi-search",
                r#"{"federation":{},"queries":[{"indexUid":"coded","sort":["year:asc"]},{"indexUid":"coded","sort":["year:desc"]}]}"#,
            ),
        ),
        (
            "invalid_multi_search_query_position",
            Case::post(
                "/multi-search",
                r#"{"federation":{},"queries":[{"indexUid":"coded","federationOptions":{"queryPosition":-1}}]}"#,
            ),
        ),
        (
            "invalid_multi_search_remote",
            Case::post(
                "/multi-search",
                r#"{"federation":{},"queries":[{"indexUid":"coded","federationOptions":{"remote":1}}]}"#,
            ),
        ),
        (
            "invalid_multi_search_weight",
            Case::post(
                "/multi-search",
                r#"{"federation":{},"queries":[{"indexUid":"coded","federationOptions":{"weight":-1}}]}"#,
            ),
        ),
        (
            "invalid_multi_search_query_personalization",
            Case::post(
                "/multi-search",
                r#"{"federation":{},"queries":[{"indexUid":"coded","personalize":{"userContext":"x"}}]}"#,
            ),
        ),
        (
            "invalid_multi_search_query_show_performance_details",
            Case::post(
                "/multi-search",
                r#"{"federation":{},"queries":[{"indexUid":"coded","showPerformanceDetails":true}]}"#,
            ),
        ),
        (
            "invalid_multi_search_facet_order",
            Case::post(
                "/multi-search",
                r#"{"federation":{"facetsByIndex":{"coded":["genre"],"coded_counted":["genre"]},"mergeFacets":{}},"queries":[{"indexUid":"coded"},{"indexUid":"coded_counted"}]}"#,
            ),
        ),
        ("invalid_search_q", Case::post("/indexes/coded/search", r#"{"q":1}"#)),
        ("invalid_search_offset", Case::post("/indexes/coded/search", r#"{"offset":-1}"#)),
        ("invalid_search_limit", Case::post("/indexes/coded/search", r#"{"limit":-1}"#)),
        ("invalid_search_page", Case::post("/indexes/coded/search", r#"{"page":-1}"#)),
        ("invalid_search_hits_per_page", Case::post("/indexes/coded/search", r#"{"hitsPerPage":-1}"#)),
        (
            "invalid_search_attributes_to_retrieve",
            Case::post("/indexes/coded/search", r#"{"attributesToRetrieve":1}"#),
        ),
        ("invalid_search_retrieve_vectors", Case::post("/indexes/coded/search", r#"{"retrieveVectors":1}"#)),
        (
            "invalid_search_attributes_to_crop",
            Case::post("/indexes/coded/search", r#"{"attributesToCrop":1}"#),
        ),
        ("invalid_search_crop_length", Case::post("/indexes/coded/search", r#"{"cropLength":-1}"#)),
        (
            "invalid_search_attributes_to_highlight",
            Case::post("/indexes/coded/search", r#"{"attributesToHighlight":1}"#),
        ),
        (
            "invalid_search_show_matches_position",
            Case::post("/indexes/coded/search", r#"{"showMatchesPosition":1}"#),
        ),
        (
            "invalid_search_show_ranking_score",
            Case::post("/indexes/coded/search", r#"{"showRankingScore":1}"#),
        ),
        (
            "invalid_search_show_ranking_score_details",
            Case::post("/indexes/coded/search", r#"{"showRankingScoreDetails":1}"#),
        ),
        (
            "invalid_search_show_performance_details",
            Case::post("/indexes/coded/search", r#"{"showPerformanceDetails":1}"#),
        ),
        ("invalid_search_use_network", Case::post("/indexes/coded/search", r#"{"useNetwork":1}"#)),
        ("invalid_search_filter", Case::post("/indexes/coded/search", r#"{"filter":"genre ="}"#)),
        ("invalid_search_sort", Case::post("/indexes/coded/search", r#"{"sort":["title:asc"]}"#)),
        ("invalid_search_distinct", Case::post("/indexes/coded/search", r#"{"distinct":"title"}"#)),
        ("invalid_search_facets", Case::post("/indexes/coded/search", r#"{"facets":["title"]}"#)),
        ("invalid_search_highlight_pre_tag", Case::post("/indexes/coded/search", r#"{"highlightPreTag":1}"#)),
        (
            "invalid_search_highlight_post_tag",
            Case::post("/indexes/coded/search", r#"{"highlightPostTag":1}"#),
        ),
        ("invalid_search_crop_marker", Case::post("/indexes/coded/search", r#"{"cropMarker":1}"#)),
        (
            "invalid_search_matching_strategy",
            Case::post("/indexes/coded/search", r#"{"matchingStrategy":1}"#),
        ),
        (
            "invalid_search_attributes_to_search_on",
            Case::post("/indexes/coded/search", r#"{"attributesToSearchOn":1}"#),
        ),
        (
            "invalid_search_ranking_score_threshold",
            Case::post("/indexes/coded/search", r#"{"rankingScoreThreshold":2}"#),
        ),
        ("invalid_search_locales", Case::post("/indexes/coded/search", r#"{"locales":["x"]}"#)),
        ("invalid_search_vector", Case::post("/indexes/coded/search", r#"{"vector":1}"#)),
        ("invalid_search_personalize", Case::post("/indexes/coded/search", r#"{"personalize":1}"#)),
        (
            "invalid_search_personalize_user_context",
            Case::post("/indexes/coded/search", r#"{"personalize":{"userContext":1}}"#),
        ),
        (
            "invalid_search_media_and_vector",
            Case::post("/indexes/coded/search", r#"{"media":{},"vector":[1.0],"hybrid":{"embedder":"e"}}"#),
        ),
        (
            "invalid_search_semantic_ratio",
            Case::post("/indexes/coded/search", r#"{"hybrid":{"embedder":"e","semanticRatio":2}}"#),
        ),
        ("missing_search_hybrid", Case::post("/indexes/coded/search", r#"{"vector":[1.0]}"#)),
        (
            "invalid_facet_search_exhaustive_facet_count",
            Case::post("/indexes/coded/facet-search", r#"{"facetName":"genre","exhaustiveFacetCount":1}"#),
        ),
        ("invalid_facet_search_facet_name", Case::post("/indexes/coded/facet-search", r#"{"facetName":1}"#)),
        (
            "invalid_facet_search_query",
            Case::post("/indexes/coded/facet-search", r#"{"facetName":"genre","facetQuery":1}"#),
        ),
        ("missing_facet_search_facet_name", Case::post("/indexes/coded/facet-search", "{}")),
        (
            "facet_search_disabled",
            Case::post("/indexes/coded_quiet/facet-search", r#"{"facetName":"genre"}"#),
        ),
        ("invalid_similar_id", Case::post("/indexes/coded_vectors/similar", r#"{"id":[],"embedder":"e"}"#)),
        (
            "invalid_similar_offset",
            Case::post("/indexes/coded_vectors/similar", r#"{"id":1,"embedder":"e","offset":-1}"#),
        ),
        (
            "invalid_similar_limit",
            Case::post("/indexes/coded_vectors/similar", r#"{"id":1,"embedder":"e","limit":-1}"#),
        ),
        (
            "invalid_similar_filter",
            Case::post("/indexes/coded_vectors/similar", r#"{"id":1,"embedder":"e","filter":"genre ="}"#),
        ),
        (
            "invalid_similar_attributes_to_retrieve",
            Case::post(
                "/indexes/coded_vectors/similar",
                r#"{"id":1,"embedder":"e","attributesToRetrieve":1}"#,
            ),
        ),
        (
            "invalid_similar_retrieve_vectors",
            Case::post("/indexes/coded_vectors/similar", r#"{"id":1,"embedder":"e","retrieveVectors":1}"#),
        ),
        (
            "invalid_similar_show_ranking_score",
            Case::post("/indexes/coded_vectors/similar", r#"{"id":1,"embedder":"e","showRankingScore":1}"#),
        ),
        (
            "invalid_similar_show_ranking_score_details",
            Case::post(
                "/indexes/coded_vectors/similar",
                r#"{"id":1,"embedder":"e","showRankingScoreDetails":1}"#,
            ),
        ),
        (
            "invalid_similar_show_performance_details",
            Case::post(
                "/indexes/coded_vectors/similar",
                r#"{"id":1,"embedder":"e","showPerformanceDetails":1}"#,
            ),
        ),
        (
            "invalid_similar_ranking_score_threshold",
            Case::post(
                "/indexes/coded_vectors/similar",
                r#"{"id":1,"embedder":"e","rankingScoreThreshold":2}"#,
            ),
        ),
        ("not_found_similar_id", Case::post("/indexes/coded_vectors/similar", r#"{"id":99,"embedder":"e"}"#)),
        (
            "invalid_settings_displayed_attributes",
            Case::post("/indexes/coded/settings", r#"{"displayedAttributes":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_distinct_attribute",
            Case::post("/indexes/coded/settings", r#"{"distinctAttribute":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_proximity_precision",
            Case::post("/indexes/coded/settings", r#"{"proximityPrecision":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_facet_search",
            Case::post("/indexes/coded/settings", r#"{"facetSearch":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_prefix_search",
            Case::post("/indexes/coded/settings", r#"{"prefixSearch":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_faceting",
            Case::post("/indexes/coded/settings", r#"{"faceting":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_filterable_attributes",
            Case::post("/indexes/coded/settings", r#"{"filterableAttributes":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_pagination",
            Case::post("/indexes/coded/settings", r#"{"pagination":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_search_cutoff_ms",
            Case::post("/indexes/coded/settings", r#"{"searchCutoffMs":"x"}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_embedders",
            Case::post("/indexes/coded/settings", r#"{"embedders":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_ranking_rules",
            Case::post("/indexes/coded/settings", r#"{"rankingRules":["nope"]}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_searchable_attributes",
            Case::post("/indexes/coded/settings", r#"{"searchableAttributes":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_sortable_attributes",
            Case::post("/indexes/coded/settings", r#"{"sortableAttributes":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_stop_words",
            Case::post("/indexes/coded/settings", r#"{"stopWords":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_non_separator_tokens",
            Case::post("/indexes/coded/settings", r#"{"nonSeparatorTokens":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_separator_tokens",
            Case::post("/indexes/coded/settings", r#"{"separatorTokens":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_dictionary",
            Case::post("/indexes/coded/settings", r#"{"dictionary":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_synonyms",
            Case::post("/indexes/coded/settings", r#"{"synonyms":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_typo_tolerance",
            Case::post("/indexes/coded/settings", r#"{"typoTolerance":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_localized_attributes",
            Case::post("/indexes/coded/settings", r#"{"localizedAttributes":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_foreign_keys",
            Case::post("/indexes/coded/settings", r#"{"foreignKeys":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_settings_index_chat",
            Case::post("/indexes/coded/settings", r#"{"chat":1}"#).with_method(Method::PATCH),
        ),
        ("invalid_stats_show_internal_database_sizes", Case::get("/stats?showInternalDatabaseSizes=x")),
        ("invalid_stats_size_format", Case::get("/stats?sizeFormat=x")),
        (
            "invalid_swap_duplicate_index_found",
            Case::post("/swap-indexes", r#"[{"indexes":["coded","b"]},{"indexes":["coded","c"]}]"#),
        ),
        ("invalid_swap_indexes", Case::post("/swap-indexes", r#"[{"indexes":["coded"]}]"#)),
        ("invalid_swap_rename", Case::post("/swap-indexes", r#"[{"indexes":["coded","b"],"rename":1}]"#)),
        ("missing_swap_indexes", Case::post("/swap-indexes", "[{}]")),
        ("invalid_task_after_enqueued_at", Case::get("/tasks?afterEnqueuedAt=x")),
        ("invalid_task_after_finished_at", Case::get("/tasks?afterFinishedAt=x")),
        ("invalid_task_after_started_at", Case::get("/tasks?afterStartedAt=x")),
        ("invalid_task_before_enqueued_at", Case::get("/tasks?beforeEnqueuedAt=x")),
        ("invalid_task_before_finished_at", Case::get("/tasks?beforeFinishedAt=x")),
        ("invalid_task_before_started_at", Case::get("/tasks?beforeStartedAt=x")),
        ("invalid_task_canceled_by", Case::get("/tasks?canceledBy=x")),
        ("invalid_task_from", Case::get("/tasks?from=x")),
        ("invalid_task_limit", Case::get("/tasks?limit=x")),
        ("invalid_task_reverse", Case::get("/tasks?reverse=x")),
        ("invalid_task_statuses", Case::get("/tasks?statuses=x")),
        ("invalid_task_types", Case::get("/tasks?types=x")),
        ("invalid_task_uids", Case::get("/tasks?uids=x")),
        ("invalid_batch_uids", Case::get("/batches/x")),
        ("feature_not_enabled", Case::post("/indexes/coded/documents/edit", r#"{"function":"1"}"#)),
        ("malformed_payload", Case::post("/indexes/coded/documents", "[{")),
        ("missing_api_key_actions", Case::post("/keys", r#"{"indexes": ["*"], "expiresAt": null}"#)),
        ("missing_api_key_expires_at", Case::post("/keys", r#"{"actions": ["search"], "indexes": ["*"]}"#)),
        ("missing_api_key_indexes", Case::post("/keys", r#"{"actions": ["search"], "expiresAt": null}"#)),
        ("missing_authorization_header", Case::get("/indexes").with_key("")),
        ("missing_content_type", Case::post("/indexes/coded/search", "{}").with_type(None)),
        ("missing_document_id", Case::post("/indexes/coded/documents", r#"[{"title":"x"}]"#)),
        ("missing_index_uid", Case::post("/indexes", "{}")),
        ("missing_payload", Case::post("/indexes/coded/documents", "")),
        ("missing_task_filters", Case::new(Method::DELETE, "/tasks")),
        ("task_not_found", Case::get("/tasks/99999999")),
        ("batch_not_found", Case::get("/batches/99999999")),
        (
            "invalid_document_edition_function_filter",
            Case::post("/indexes/coded/documents/edit", r#"{"function":1}"#),
        ),
        ("invalid_index_fields_filter", Case::post("/indexes/coded/fields", r#"{"filter":1}"#)),
        (
            "invalid_index_fields_filter_attribute_patterns",
            Case::post("/indexes/coded/fields", r#"{"filter":{"attributePatterns":1}}"#),
        ),
        (
            "invalid_index_fields_filter_displayed",
            Case::post("/indexes/coded/fields", r#"{"filter":{"displayed":1}}"#),
        ),
        (
            "invalid_index_fields_filter_searchable",
            Case::post("/indexes/coded/fields", r#"{"filter":{"searchable":1}}"#),
        ),
        (
            "invalid_index_fields_filter_sortable",
            Case::post("/indexes/coded/fields", r#"{"filter":{"sortable":1}}"#),
        ),
        (
            "invalid_index_fields_filter_distinct",
            Case::post("/indexes/coded/fields", r#"{"filter":{"distinct":1}}"#),
        ),
        (
            "invalid_index_fields_filter_ranking_rule",
            Case::post("/indexes/coded/fields", r#"{"filter":{"rankingRule":1}}"#),
        ),
        (
            "invalid_index_fields_filter_filterable",
            Case::post("/indexes/coded/fields", r#"{"filter":{"filterable":1}}"#),
        ),
        ("invalid_webhook_url", Case::post("/webhooks", r#"{"url":1}"#)),
        ("invalid_webhook_headers", Case::post("/webhooks", r#"{"url":"http://a/","headers":1}"#)),
        ("invalid_webhook_uuid", Case::get("/webhooks/x")),
        ("webhook_not_found", Case::get("/webhooks/00000000-0000-4000-8000-000000000009")),
        ("immutable_webhook_uuid", Case::post("/webhooks", r#"{"url":"http://a/","uuid":"x"}"#)),
        (
            "immutable_webhook_is_editable",
            Case::post("/webhooks", r#"{"url":"http://a/","isEditable":true}"#),
        ),
        ("invalid_dynamic_search_rule_offset", Case::post("/dynamic-search-rules", r#"{"offset":-1}"#)),
        ("invalid_dynamic_search_rule_limit", Case::post("/dynamic-search-rules", r#"{"limit":-1}"#)),
        ("invalid_dynamic_search_rule_filter", Case::post("/dynamic-search-rules", r#"{"filter":1}"#)),
        (
            "invalid_dynamic_search_rule_filter_query",
            Case::post("/dynamic-search-rules", r#"{"filter":{"query":1}}"#),
        ),
        (
            "invalid_dynamic_search_rule_filter_active",
            Case::post("/dynamic-search-rules", r#"{"filter":{"active":1}}"#),
        ),
        (
            "invalid_dynamic_search_rule_description",
            Case::post("/dynamic-search-rules/r", r#"{"description":{}}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_dynamic_search_rule_priority",
            Case::post("/dynamic-search-rules/r", r#"{"precedence":{}}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_dynamic_search_rule_active",
            Case::post("/dynamic-search-rules/r", r#"{"active":{}}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_dynamic_search_rule_conditions",
            Case::post("/dynamic-search-rules/r", r#"{"conditions":1}"#).with_method(Method::PATCH),
        ),
        (
            "invalid_dynamic_search_rule_actions",
            Case::post("/dynamic-search-rules/r", r#"{"actions":{}}"#).with_method(Method::PATCH),
        ),
        ("invalid_render_template", Case::post("/render-template", r#"{"template":1}"#)),
        (
            "invalid_render_input",
            Case::post(
                "/render-template",
                r#"{"template":{"kind":"inlineDocumentTemplate","inline":"x"},"input":1}"#,
            ),
        ),
    ]
}

#[test]
fn every_code_has_a_case_or_a_reason() {
    let cases: BTreeSet<&str> = cases().into_iter().map(|(code, _)| code).collect();
    let excused: BTreeSet<&str> = REASONS.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
    let known = BTreeSet::from(CODES);
    for (reason, codes) in REASONS {
        println!("{reason}: {}", codes.join(", "));
    }
    let covered: BTreeSet<&str> = cases.union(&excused).copied().collect();
    assert_eq!(
        known.difference(&covered).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "neither case nor reason"
    );
    assert_eq!(covered.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "no code of Meilisearch");
    assert_eq!(cases.intersection(&excused).collect::<Vec<_>>(), Vec::<&&str>::new(), "case and reason");
}

#[tokio::test]
async fn each_code_is_given_where_one_node_gives_it() {
    let pair = PAIR.get().await;
    prepare(&pair, "coded").await;
    pair.both(async |client| {
        for (uid, settings) in [
            ("coded_vectors", json!({ "embedders": { "e": { "source": "userProvided", "dimensions": 2 } } })),
            ("coded_quiet", json!({ "facetSearch": false, "filterableAttributes": ["genre"] })),
            ("coded_geo", json!({ "filterableAttributes": ["_geo", "_geojson"] })),
            (
                "coded_counted",
                json!({ "filterableAttributes": ["genre"], "faceting": { "sortFacetValuesBy": { "genre": "count" } } }),
            ),
        ] {
            let index = client.create_index(uid, Some("id")).await.unwrap();
            index.update_settings(&settings).await.unwrap();
        }
        let document = json!({ "id": 1, "_vectors": { "e": [1.0, 0.0] } });
        client.index("coded_vectors").add_documents(&[document]).await.unwrap();
        client.index("coded_counted").add_documents(&[json!({ "id": 1, "genre": "g" })]).await.unwrap();
        let key = json!({ "uid": KEY, "actions": ["search"], "indexes": ["*"], "expiresAt": null });
        client.post("/keys", &key).await.unwrap().ok().unwrap();
    })
    .await;

    let is_real = std::env::var_os("MEILISEARCH_BIN").is_some_and(|path| !path.is_empty());
    let mut wrong = Vec::new();
    for (code, case) in cases() {
        if let Some((_, lacks)) = REAL_ONLY.iter().find(|(only, _)| *only == code)
            && !is_real
        {
            println!("{code} runs with MEILISEARCH_BIN only: the embedded node has no {lacks}");
            continue;
        }
        let (ours, single) = pair.both(async |client| case.outcome(client).await).await;
        if ours != single {
            wrong.push(format!("{code}\n  miroir {ours}\n  node   {single}"));
        } else if given(&single) != code {
            wrong.push(format!("{code} is not given: {single}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The code of an outcome: of the answer, or of the task that it made.
fn given(outcome: &Value) -> &str {
    let in_task = &outcome["task"]["error"]["code"];
    outcome["code"].as_str().or(in_task.as_str()).unwrap_or_default()
}
