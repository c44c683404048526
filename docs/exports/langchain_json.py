# custom-ai documents export PROJECT rag_export.jsonl --format jsonl
# needs: pip install langchain-community jq
from langchain_community.document_loaders import JSONLoader

loader = JSONLoader(
    "rag_export.jsonl", ".", "text", json_lines=True, metadata_func=lambda row, _: row["metadata"]
)
for document in loader.lazy_load():
    print(document.metadata["source"], document.metadata["page_label"], document.page_content)
