"""The app with the table, served by fastworker."""

import fastworker as fw
from benchmarks.functions.table import big_table

app = fw.App()


@app.generic_trigger("job", type="manualTrigger")
@app.blob_output("$return", path="results/{sys.RandGuid}")
def look(job: int) -> bytes:
    """Sums rows of the table from `job` on."""
    return big_table.look(job)
