// Goes back to a moment of a journaled run, to interview the people of that moment.
#pragma once

#include <vector>

#include "journal/journal.h"
#include "town/town.h"

namespace throng::town {

// The mind of every agent at the start of a step, by id. Repeats the run up to there with the journal's
// answers; only reads the journal, and calls no model. Throws kInvalid if the journal was begun with another
// scenario or does not reach that step.
std::vector<sim::MindPtr> MindsAt(const Town& town, journal::Journal& journal, sim::Step step);

}  // namespace throng::town
