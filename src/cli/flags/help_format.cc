#include "cli/flags/help_format.h"

#include <algorithm>

#include "cli/cli11.h"

namespace throng::cli {

namespace {

constexpr size_t kFlagColumns = 30;
constexpr std::string_view kExample = "  throng ";
constexpr std::string_view kContinued = " \\";

// The column where a paragraph's lines below the first begin.
size_t HangingIndent(std::string_view line) {
  const size_t begin = std::min(line.find_first_not_of(' '), line.size());
  const size_t gap = line.find("  ", begin);
  if (gap == std::string_view::npos) return begin;
  return line.find_first_not_of(' ', gap);
}

// The last place before `end` at which the line may be broken; npos: none. A comma stays on its line, a space
// is dropped.
size_t LastBreak(std::string_view line, size_t begin, size_t end, char at) {
  const size_t found = line.substr(0, end).rfind(at);
  return found == std::string_view::npos || found < begin ? std::string_view::npos : found;
}

// The last break of an example: before a flag, outside quotes.
size_t LastFlag(std::string_view line, size_t begin, size_t end) {
  size_t found = std::string_view::npos;
  bool quoted = false;
  for (size_t i = 0; i < end && i + 1 < line.size(); ++i) {
    if (line[i] == '"' || line[i] == '\'') quoted = !quoted;
    if (i >= begin && !quoted && line[i] == ' ' && line[i + 1] == '-') found = i;
  }
  return found;
}

std::string WrapExample(std::string line, size_t columns) {
  const std::string indent(6, ' ');
  std::string wrapped;
  while (line.size() > columns) {
    const size_t at = LastFlag(line, indent.size(), columns - kContinued.size() + 1);
    if (at == std::string::npos) break;
    wrapped.append(line, 0, at).append(kContinued).append("\n");
    line = indent + line.substr(at + 1);
  }
  return wrapped + line;
}

std::string WrapLine(std::string line, size_t columns) {
  if (line.starts_with(kExample)) return WrapExample(std::move(line), columns);
  const std::string indent(HangingIndent(line), ' ');
  std::string wrapped;
  while (line.size() > columns) {
    size_t end = LastBreak(line, indent.size() + 1, columns + 1, ' ');
    size_t next = end + 1;
    if (end == std::string::npos) {
      end = next = LastBreak(line, indent.size() + 1, columns, ',') + 1;
      if (end == 0) break;  // a single word that cannot be broken
    }
    wrapped.append(line, 0, end).append("\n");
    line = indent + line.substr(next);
  }
  return wrapped + line;
}

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kFlagColumns); }

  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    std::string help = Formatter::make_help(app, std::move(name), mode);
    for (size_t at; (at = help.find("\n\n\n")) != std::string::npos;) help.erase(at, 1);
    return help;
  }

  std::string make_description(const CLI::App* app) const override {
    return Wrap(Formatter::make_description(app), kHelpColumns);
  }

  std::string make_footer(const CLI::App* app) const override {
    return Wrap(Formatter::make_footer(app), kHelpColumns);
  }

  std::string make_subcommand(const CLI::App* app) const override {
    std::stringstream out;
    CLI::detail::format_help(out, app->get_name(), Wrap(app->get_description(), kHelpColumns - kFlagColumns),
                             kFlagColumns);
    return out.str();
  }

  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    const std::string name = Formatter::make_option_name(option, is_positional);
    return name.substr(0, name.find('{'));  // "--no-journal{false}"
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    std::string text = " " + TypeOf(*option);
    if (!option->get_default_str().empty()) text += "=" + option->get_default_str();
    if (option->get_expected_max() == CLI::detail::expected_max_vector_size) text += " ...";
    return text;
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = option->get_description();
    const auto add = [&text](const char* what, const std::set<CLI::Option*>& others) {
      for (const CLI::Option* other : others)
        text += std::string(" (") + what + " " + other->get_name() + ")";
    };
    if (option->get_required() && !option->get_positional()) text += " (required)";
    add("with", option->get_needs());
    add("not with", option->get_excludes());
    return Wrap(text, kHelpColumns - kFlagColumns);
  }

 private:
  // CLI11 writes "UINT:INT in [1 - 100]", "TEXT:{a,b}", "FLOAT:POSITIVE", "UINT:SIZE".
  static std::string TypeOf(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    const size_t choices = type.find('{');
    if (choices != std::string::npos) return type.substr(choices);
    if (type.ends_with("SIZE")) return "SIZE";
    if (type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT")) return "N";
    return type.starts_with("TEXT") ? "TEXT" : type;
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> MakeHelpFormatter() { return std::make_shared<HelpFormatter>(); }

void AddNote(CLI::App& command, const std::string& text) {
  const std::string notes = command.get_footer() + text + (text.ends_with('\n') ? "" : "\n");
  command.footer([notes] { return notes; });
}

std::string Wrap(std::string_view text, size_t columns) {
  std::string wrapped;
  while (true) {
    const size_t end = text.find('\n');
    wrapped += WrapLine(std::string(text.substr(0, end)), columns);
    if (end == std::string_view::npos) return wrapped;
    wrapped += '\n';
    text.remove_prefix(end + 1);
  }
}

}  // namespace throng::cli
