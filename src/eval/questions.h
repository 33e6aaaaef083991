// Questions about what a prompt says, in files of JSON lines.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace throng::eval {

struct Question {
  std::string prompt;
  std::vector<std::string> choices;
  std::string answer;
  int distance = 0;  // tokens from the answer's place in the prompt to its end
};

// The first `most` lines (0: all) of a file, gzipped or not, of objects {prompt, choices, answer, distance},
// as far as their distance is at least min_distance. Throws kIo, or kCorrupt with the line.
std::vector<Question> ReadQuestions(const std::string& path, size_t most, int min_distance = 0);

}  // namespace throng::eval
