// What descriptions in prose say, such as those of Generative Agents. By patterns, so whoever imports looks
// the results over.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace throng::town {

// "cafe owner" of "Isabella Rodriguez is a cafe owner of Hobbs Cafe who loves ..."; empty: it says none.
std::string JobIn(const std::string& text);

// The hour of "goes to bed around 11pm", or midnight, after the words that the pattern begins with.
std::optional<int> HourAfter(const std::string& text, const char* words);

// Which word of the text begins the first mention of a place. "the Willow Market" mentions "The Willows
// Market": articles, capitals, and an s at the end of words do not count.
std::optional<size_t> FindPlace(const std::string& text, const std::string& place);

// What somebody named in the text is to whom it is about: "wife" of "lives with his wife, Mei Lin",
// "acquaintance" if it only names them; empty: it does not.
std::string RelationIn(const std::string& text, const std::string& name);

}  // namespace throng::town
