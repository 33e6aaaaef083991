// What is kept from people's prompts, though they have it: the ablations of Generative Agents (arXiv
// 2304.03442, section 6), of interviews and of whole days.
#pragma once

#include <string>
#include <string_view>

#include "town/mind/mind.h"

namespace throng::town {

struct Hidden {
  bool observations = false;  // what it saw, did, heard and said
  bool reflections = false;   // what it thought
  bool plans = false;         // its plan, and that it made one
  bool relations = false;     // whom it knew from before the start, and how

  bool IsEmpty() const { return !observations && !reflections && !plans && !relations; }
  Hidden operator|(const Hidden& other) const;
};

// From this step on, for everybody.
struct HiddenFrom {
  sim::Step from;
  Hidden hidden;
};

// "reflections,plans". Throws kInvalid, naming the flag.
Hidden ParseHidden(std::string_view flag, const std::string& text);

// The mind and the persona without what is hidden, as prompts are to show them.
TownMind Without(const TownMind& mind, const Hidden& hidden);
Persona Without(const Persona& persona, const Hidden& hidden);

}  // namespace throng::town
