"""Which names, places and settings the host takes for a function."""

import pytest

from fastworker.hostrules.functions import (
    blob_path_problem,
    container_problem,
    function_name_problem,
    is_disabled,
    queue_problem,
    twins,
)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (
            function_name_problem,
            ["a", "has-dash", "has_under", "trailing-", "admin", "x" * 128],
            ["1digit", "-lead", "_lead", "dot.name", "gr\xf6\xdfe", "x" * 129, "host", "Host", "a+b", "a b", ""],
        ),
        (
            queue_problem,
            ["rhe-good", "RHE-Upper", "abc", "q" * 63],
            ["", "ab", "q" * 64, "rhe--x", "-rhe", "rhe-", "bad_queue!", "{name}", "a.b"],
        ),
        (
            blob_path_problem,
            ["c/{name}", "cont", "c5/{{2014}}-{name}", "c/{a}/{b}.{ext}", "$root/x"],
            ["", "/c4/{name}", "{c}/x", "c/{name", "c/name}", "c/{{name}"],
        ),
        (
            container_problem,
            ["abc/{name}", "a-b-c", "$web/x"],
            ["RHE/x", "rhe_under/{name}"],
        ),
    ],
    ids=["function", "queue", "blob path", "container"],
)
def test_names_are_taken_and_refused_as_by_the_host(check, good, bad):
    """E-ffold-*, E-storage-load-*, E-storage-btunder, B-498."""
    assert {name: check(name) for name in good} == dict.fromkeys(good)
    assert [name for name in bad if check(name) is None] == []


@pytest.mark.parametrize(
    ("name", "value", "disabled"),
    [
        ("AzureWebJobs.f1.Disabled", "true", True),
        ("AzureWebJobs.f1.Disabled", "True", True),
        ("AzureWebJobs_f1_Disabled", "1", True),
        ("AZUREWEBJOBS.F1.DISABLED", "true", True),
        ("AzureWebJobs.f1.Disabled", "yes", False),
        ("AzureWebJobs.f1.Disabled", " true ", False),
        ("AzureWebJobs.f1.Disabled", "%OFF%", False),
        ("AzureWebJobs.f1.Disabled", "", False),
        ("AzureWebJobs__f1__Disabled", "true", False),
        ("AzureWebJobs:f1:Disabled", "true", False),
        ("AzureWebJobs.f2.Disabled", "true", False),
    ],
)
def test_two_spellings_of_a_setting_disable_a_function(name, value, disabled):
    """B-478 to B-491, E-fdis-*."""
    assert is_disabled("f1", {name: value}) is disabled


def test_folders_that_differ_in_case_only_are_found():
    """The host takes them for one function (E-twins-*)."""
    assert twins(["b", "Twin", "twin", "a", "TWIN"]) == [("TWIN", "Twin"), ("TWIN", "twin")]
