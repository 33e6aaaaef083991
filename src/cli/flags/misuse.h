// Explains what is wrong with a command line that cannot be parsed, and what was probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace throng::cli {

// One sentence. `app` is the program, which threw the error.
std::string DescribeMisuse(const CLI::App& app, const CLI::ParseError& error);

// `, did you mean NAME?` for the name most like `word`; empty if none is similar.
std::string DidYouMean(std::string_view word, const std::vector<std::string>& names);

}  // namespace throng::cli
