// How people of a town that embeds come by embeddings: before a decision, those of its query and of the
// memories since the last one are asked for, all in one call. A memory keeps its embedding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "llm/llm.h"
#include "town/mind/mind.h"

namespace throng::town {

// A request of kind kEmbedding.
llm::Request AskEmbeddings(const TownMind& mind, std::string_view query);

// Gives the mind's memories the embeddings of the answer to AskEmbeddings, asked for this mind as it is, and
// returns the query's. Nothing, and the mind is as it was, if that is not what the text says: lists of whole
// numbers from -127 to 127 (effects/embedder.h), as long as those that the mind has.
std::optional<Embedding> TakeEmbeddings(const std::string& answer, TownMind& mind);

}  // namespace throng::town
