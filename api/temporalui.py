"""Where the Temporal UI shows the workflow of a loading request, for auditors who may open it."""

from dataclasses import dataclass
from urllib.parse import quote

from ceremony import names


@dataclass(frozen=True, slots=True)
class TemporalUi:
    """The UI's base URL, as browsers reach it, and the namespace that it should show."""

    base_url: str
    namespace: str

    def workflow(self, request_id: str) -> str:
        """The list that holds exactly this request's workflow.

        A terminal's workflows share one id, so it is looked for by its search attribute.
        """
        query = quote(f'{names.SEARCH_REQUEST}="{request_id}"', safe="")
        namespace = quote(self.namespace, safe="")
        return f"{self.base_url.rstrip('/')}/namespaces/{namespace}/workflows?query={query}"
