# custom-ai documents export PROJECT rag_export.jsonl --format jsonl
# needs: pip install llama-index-core
import json

from llama_index.core.schema import TextNode

with open("rag_export.jsonl", encoding="utf-8") as lines:
    nodes = [TextNode.model_validate({"id_": r["id"], **r}) for r in map(json.loads, lines)]
for node in nodes:
    print(node.metadata["source"], node.metadata["page_label"], node.text)
