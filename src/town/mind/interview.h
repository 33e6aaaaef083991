// Goes back to a moment of a journaled run, to interview the people of that moment.
#pragma once

#include "journal/journal.h"
#include "town/town.h"

namespace throng::town {

// The mind of an agent at the start of a step. Repeats the run up to there with the journal's answers; only
// reads the journal, and calls no model. Throws kInvalid if the journal was begun with another scenario or
// does not reach that step.
sim::MindPtr MindAt(const Town& town, journal::Journal& journal, sim::AgentId agent, sim::Step step);

}  // namespace throng::town
