// Reads decisions.json: what the program relies on in each decision's answers is checked here.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "town/content/content.h"
#include "town/content/json_file.h"

namespace throng::town {

// A prompt's text by its path in the folder; nothing if it cannot be read, which is a problem already.
using ReadPrompt = std::function<std::optional<std::string>(const std::string& file)>;

// Reads the rules of all decisions; their sampling is in scenario.json. `dir` is for messages.
void ReadDecisions(const JsonView& file, const std::string& dir, const ReadPrompt& read, Content& content);

// Notes the public places that no decision can choose: people go where `act` says.
void CheckChoosable(const JsonView& places, const Content& content);

// Gives personas who know some places alone constraints of their own for `act` and `plan`.
void NarrowToKnownPlaces(const JsonView& personas, Content& content);

// The place of this name; a problem, and 0, if there is none. Without any places, nothing is judged: why
// there are none is a problem already.
PlaceId FindPlace(const std::vector<Place>& places, const JsonView& name);

}  // namespace throng::town
