// Going back to a moment of a journaled run, to ask the people of that moment.
#pragma once

#include "journal/journal.h"
#include "town/town.h"

namespace throng::town {

// The mind of an agent at the start of a step: the run is done again up to there with the answers of the
// journal, which is only read; no model is called. Throws kInvalid if the journal was begun with another
// scenario or has not come that far.
sim::MindPtr MindAt(const Town& town, journal::Journal& journal, sim::AgentId agent, sim::Step step);

}  // namespace throng::town
