// Formats --help: lines of at most kHelpColumns, types in one word, long lists below the options.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace CLI {
class App;
class FormatterBase;
}  // namespace CLI

namespace throng::cli {

inline constexpr size_t kHelpColumns = 100;

std::shared_ptr<CLI::FormatterBase> MakeHelpFormatter();

// Adds text below the options, above the footer that the command sets.
void AddNote(CLI::App& command, const std::string& text);

// Breaks longer lines: prose between words; the second column of a table ("name   text") within the column;
// examples ("  throng ...") before flags, with the backslash that a shell needs.
std::string Wrap(std::string_view text, size_t columns);

}  // namespace throng::cli
