// What a person has to tell another one: what the other has neither said nor been told yet.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "town/mind/decide.h"

namespace throng::town {

// Each ends with its mark (. ! ?) and begins without spaces.
std::vector<std::string_view> SentencesOf(std::string_view text);

// The next entry of the plan as the person would say it, "I will play chess at the park at 17:00."; empty if
// nothing follows today.
std::string IntentionText(const Scene& scene);

struct NewsItem {
  std::string text;
  const Memory* memory;  // that it comes from; null: none, it is an intention
};

// At most three sentences, the most worth telling first: what it heard and what it saw within the last hour,
// by recency and importance, then what it will do next. Only statements that make sense in anybody's mouth
// are passed on (none with "I" or "it"), none that name the speaker or the other, and none whose time has
// passed.
std::vector<NewsItem> NewsFor(const Scene& scene, const std::string& other,
                              const std::vector<Utterance>& talk);

}  // namespace throng::town
