// The statement on a run that a paper needs: throng journal cite.
#pragma once

#include <string>

#include "journal/journal.h"

namespace throng::app {

// A paragraph, and a note in BibTeX's form.
std::string Cite(const journal::Journal& journal);

}  // namespace throng::app
