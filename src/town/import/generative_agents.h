// A saved simulation of Generative Agents (github.com/joonspk-research/generative_agents), in the form of its
// folder storage/<simulation>: reverie/meta.json and, per person, personas/<name>/bootstrap_memory; and its
// map, a folder matrix with maze_meta_info.json, maze/*.csv and special_blocks/*.csv.
#pragma once

#include <string>

#include "town/import/draft.h"

namespace throng::town {

// What becomes of each field, in lines for --help.
extern const char* const kGenerativeAgentsFields;

bool IsGenerativeAgents(const std::string& dir);

// `matrix` is the map's folder; empty: it is found as in the repository, by the maze's name beside the
// simulation. Throws kInvalid with the file, and the place in it, that is missing or damaged.
Draft ReadGenerativeAgents(const std::string& dir, const std::string& matrix, ImportReport& report);

}  // namespace throng::town
