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

// Reads a file, gzipped or not, with an object {prompt, choices, answer, distance} per line. Returns the
// first `most` questions (0: all) whose distance is at least min_distance. Throws kIo; kInvalid for a file of
// more than 256 MiB, unpacked; kCorrupt with the line, or if no question is left.
std::vector<Question> ReadQuestions(const std::string& path, size_t most, int min_distance = 0);

}  // namespace throng::eval
