#include "town/import/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text/trim.h"

namespace throng::town {
namespace {

// What Excel and others write in a line before the table: "sep=;".
bool NamesSeparator(const std::string& text) {
  return text.starts_with("sep=") && text.size() > 5 && (text[5] == '\r' || text[5] == '\n');
}

// The one that the first line has most of outside of quotes.
char SeparatorOf(const std::string& text) {
  if (NamesSeparator(text)) return text[4];
  constexpr char kSeparators[] = {',', ';', '\t'};
  size_t counts[3] = {};
  bool quoted = false;
  for (const char c : text) {
    if ((c == '\n' || c == '\r') && !quoted) break;
    if (c == '"') quoted = !quoted;
    for (size_t i = 0; i < 3; ++i) counts[i] += !quoted && c == kSeparators[i];
  }
  return kSeparators[std::max_element(counts, counts + 3) - counts];
}

class Reader {
 public:
  Reader(const std::string& path, const std::string& text, Problems& problems)
      : path_(path), text_(text), problems_(problems), separator_(SeparatorOf(text)) {
    if (NamesSeparator(text)) ReadRow();
  }

  // The next row with a value; nothing at the end.
  std::optional<CsvRow> Next() {
    const auto is_empty = [](const std::string& cell) { return Trimmed(cell).empty(); };
    while (at_ < text_.size()) {
      CsvRow row = ReadRow();
      if (!std::all_of(row.cells.begin(), row.cells.end(), is_empty)) return row;
    }
    return std::nullopt;
  }

 private:
  bool AtRowEnd() const { return at_ >= text_.size() || text_[at_] == '\n' || text_[at_] == '\r'; }

  CsvRow ReadRow() {
    CsvRow row = {line_, {}};
    while (true) {
      row.cells.push_back(at_ < text_.size() && text_[at_] == '"' ? ReadQuoted() : ReadPlain());
      if (AtRowEnd()) break;
      ++at_;  // the separator
    }
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++line_;
    return row;
  }

  std::string ReadPlain() {
    const size_t begin = at_;
    while (!AtRowEnd() && text_[at_] != separator_) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string ReadQuoted() {
    const int begin = line_;
    std::string cell;
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) {
        problems_.Add({path_, begin, "", "a quote begins here and does not end"});
        return cell;
      }
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
        ++at_;  // two quotes are one
      }
      if (text_[at_] == '\n') ++line_;
      cell += text_[at_];
    }
    ++at_;
    const std::string after = ReadPlain();
    if (!Trimmed(after).empty()) {
      problems_.Add(
          {path_, line_, "",
           fmt::format("found {:?} after a closing quote, allowed: a separator; quotes in quotes are doubled",
                       after.substr(0, 40))});
    }
    return cell;
  }

  const std::string& path_;
  const std::string& text_;
  Problems& problems_;
  const char separator_;
  size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

CsvTable ParseCsv(const std::string& path, const std::string& text, size_t max_rows, Problems& problems) {
  CsvTable table;
  Reader reader(path, text, problems);
  const std::optional<CsvRow> header = reader.Next();
  if (!header) {
    problems.Add({path, 0, "", "found no rows, allowed: a first line with the names of the columns"});
  }
  if (!problems.Empty()) return table;
  for (const std::string& name : header->cells) table.header.emplace_back(Trimmed(name));
  for (size_t rows = 0;; ++rows) {
    const size_t before = problems.All().size();
    std::optional<CsvRow> row = reader.Next();
    if (!row) break;
    if (rows == max_rows) {
      problems.Add({path, row->line, "", fmt::format("found more rows, allowed: {}", max_rows)});
      break;
    }
    if (problems.All().size() > before) continue;  // its quotes are wrong, so its width says nothing
    if (row->cells.size() == table.header.size()) {
      table.rows.push_back(std::move(*row));
    } else {
      problems.Add({path, row->line, "",
                    fmt::format("found {} value{}, allowed: {}, as many as columns", row->cells.size(),
                                row->cells.size() == 1 ? "" : "s", table.header.size())});
    }
  }
  return table;
}

}  // namespace throng::town
