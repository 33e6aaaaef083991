#include "town/import/csv.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/trim.h"

namespace throng::town {
namespace {

// The one that the first line has most of outside of quotes.
char SeparatorOf(const std::string& text) {
  constexpr char kSeparators[] = {',', ';', '\t'};
  size_t counts[3] = {};
  bool quoted = false;
  for (const char c : text) {
    if (c == '\n' && !quoted) break;
    if (c == '"') quoted = !quoted;
    for (size_t i = 0; i < 3; ++i) counts[i] += !quoted && c == kSeparators[i];
  }
  return kSeparators[std::max_element(counts, counts + 3) - counts];
}

class Reader {
 public:
  Reader(const std::string& path, const std::string& text, Problems& problems)
      : path_(path), text_(text), problems_(problems), separator_(SeparatorOf(text)) {}

  std::vector<CsvRow> Rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row = ReadRow();
      if (row.cells.size() > 1 || !Trimmed(row.cells[0]).empty()) rows.push_back(std::move(row));
    }
    return rows;
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

CsvTable ParseCsv(const std::string& path, const std::string& text, Problems& problems) {
  CsvTable table;
  table.rows = Reader(path, text, problems).Rows();
  if (table.rows.empty()) {
    problems.Add({path, 0, "", "found no rows, allowed: a first line with the names of the columns"});
    return table;
  }
  for (const std::string& name : table.rows[0].cells) table.header.emplace_back(Trimmed(name));
  table.rows.erase(table.rows.begin());
  for (const CsvRow& row : table.rows) {
    if (row.cells.size() == table.header.size()) continue;
    problems.Add({path, row.line, "",
                  fmt::format("found {} values, allowed: {}, as many as columns", row.cells.size(),
                              table.header.size())});
  }
  return table;
}

}  // namespace throng::town
