"""Tables, figures and the page of results, from run folders."""
