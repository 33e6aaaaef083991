#include "town/import/people.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "base/text/trim.h"

namespace throng::town {
namespace {

// Such as the numbers of rows that pandas writes.
const std::string kUnnamed = "(without a name)";
constexpr const char* kHour = "an hour such as 7, 07:30 or 7 am";

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

// "a; b" or "a, b" as parts without the space around them.
std::vector<std::string> Split(const std::string& text, std::string_view separators) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find_first_of(separators, begin), text.size());
    const std::string_view part = Trimmed(std::string_view(text).substr(begin, end - begin));
    if (!part.empty()) parts.emplace_back(part);
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> SplitList(const std::string& text) {
  return Split(text, text.find(';') != std::string::npos ? ";" : ",");
}

// Spreadsheets write 34 as 34.0, 34.00 or 34,0.
std::optional<int> WholeNumber(std::string_view text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view rest = text.substr(static_cast<size_t>(parsed.ptr - text.data()));
  const bool is_whole = rest.empty() || ((rest[0] == '.' || rest[0] == ',') && rest.size() > 1 &&
                                         rest.find_first_not_of('0', 1) == rest.npos);
  if (parsed.ec != std::errc() || !is_whole) return std::nullopt;
  return number;
}

// Of "7", "7:30", "07:30:00", "7 am" and "7:30 PM".
std::optional<int> HourOf(std::string_view text) {
  std::string lower = Lower(std::string(text));
  const bool is_am = lower.ends_with("am");
  const bool is_pm = lower.ends_with("pm");
  if (is_am || is_pm) lower = Trimmed(std::string_view(lower).substr(0, lower.size() - 2));
  const size_t colon = lower.find(':');
  const std::optional<int> hour = WholeNumber(lower.substr(0, colon));
  if (!hour) return std::nullopt;
  const bool has_minutes = colon != std::string::npos;
  if (has_minutes && lower.find_first_not_of("0123456789:", colon) != lower.npos) return std::nullopt;
  if (!is_am && !is_pm) return hour;
  if (*hour < 1 || *hour > 12) return std::nullopt;
  return *hour % 12 + (is_pm ? 12 : 0);
}

// Of a row's column; at most the beginning of a long value is shown.
void NoteFound(const PersonRow& row, const std::string& column, const std::string& value, const char* allowed,
               Problems& problems) {
  constexpr size_t kShownBytes = 60;
  Problem problem = row.place;
  problem.at += (problem.at.empty() ? "" : ".") + column;
  problem.what = fmt::format("found {:?}, allowed: {}", value.substr(0, kShownBytes), allowed);
  problems.Add(std::move(problem));
}

// "Ben: partner; Rosa: colleague"
std::vector<Relation> ToRelations(const std::string& value) {
  std::vector<Relation> relations;
  for (const std::string& part : SplitList(value)) {
    const size_t colon = part.find(':');
    const std::string_view name = Trimmed(std::string_view(part).substr(0, colon));
    const std::string_view relation = colon == std::string::npos
                                          ? std::string_view("acquaintance")
                                          : Trimmed(std::string_view(part).substr(colon + 1));
    relations.push_back({std::string(name), std::string(relation)});
  }
  return relations;
}

void AddAbout(DraftPerson& person, const std::string& text) {
  if (!person.about.empty()) person.about += person.about.ends_with('.') ? " " : ". ";
  person.about += text;
}

// Other words for the same.
std::string ColumnName(const std::string& name) {
  static const auto* const kOthers = new std::map<std::string, std::string>{
      {"full_name", "name"},    {"occupation", "job"},   {"profession", "job"},
      {"wake", "wake_hour"},    {"sleep", "sleep_hour"}, {"bio", "about"},
      {"description", "about"}, {"persona", "about"},    {"background", "about"}};
  std::string plain = Lower(name);
  std::replace(plain.begin(), plain.end(), ' ', '_');
  const auto found = kOthers->find(plain);
  return found == kOthers->end() ? plain : found->second;
}

// False if a person has no such column, or has it from an earlier one.
bool SetColumn(DraftPerson& person, const PersonRow& row, const std::string& name, const std::string& value,
               Problems& problems) {
  const auto read = [&](std::optional<int> number, const char* allowed) {
    if (!number) NoteFound(row, name, value, allowed, problems);
    return number.value_or(0);
  };
  const std::string column = ColumnName(name);
  std::string* const text = column == "name"        ? &person.name
                            : column == "job"       ? &person.job
                            : column == "workplace" ? &person.workplace
                            : column == "home"      ? &person.home
                                                    : nullptr;
  if (text != nullptr) {
    if (!text->empty()) return false;
    *text = value;
  } else if (column == "age") {
    person.age = read(WholeNumber(value), "a whole number");
  } else if (column == "wake_hour") {
    person.wake_hour = read(HourOf(value), kHour);
  } else if (column == "sleep_hour") {
    person.sleep_hour = read(HourOf(value), kHour);
  } else if (column == "traits") {
    person.traits = SplitList(value);
  } else if (column == "relations") {
    person.relations = ToRelations(value);
  } else if (column == "about") {
    AddAbout(person, value);
  } else {
    return false;
  }
  return true;
}

std::optional<std::string> ValueOf(const PersonRow& row, std::string_view column) {
  for (const auto& [name, value] : row.values) {
    if (name == column) return value;
  }
  return std::nullopt;
}

// name_column: where the name is.
DraftPerson PersonOf(const PersonRow& row, const char* name_column, ImportReport& report,
                     Problems& problems) {
  DraftPerson person;
  for (const auto& [name, value] : row.values) {
    if (name == kUnnamed) {
      report.Drop("columns", name);
    } else if (!SetColumn(person, row, name, value, problems)) {
      AddAbout(person, fmt::format("{}: {}", name, value));
      report.Change("columns that became part of the description", name);
    }
  }
  if (person.name.empty()) NoteFound(row, name_column, "", "a name", problems);
  return person;
}

// A text, number or list of texts as one text; nothing for null.
std::optional<std::string> CellOf(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  if (!value.is_array()) return std::nullopt;
  std::string joined;
  for (const Json& item : value) {
    const std::optional<std::string> part = item.is_array() ? std::nullopt : CellOf(item);
    if (!part) return std::nullopt;
    joined += (joined.empty() ? "" : "; ") + *part;
  }
  return joined;
}

// "[3, 17, 4]": a list as Python writes it.
std::vector<size_t> ToIndices(const PersonRow& row, const std::string& column, const std::string& value,
                              Problems& problems) {
  std::string numbers = value;
  std::erase_if(numbers, [](char c) { return c == '[' || c == ']' || c == '\'' || c == '"'; });
  std::vector<size_t> indices;
  for (const std::string& part : Split(numbers, ",; ")) {
    const std::optional<int> index = WholeNumber(part);
    if (!index) NoteFound(row, column, value, "a list of whole numbers", problems);
    if (index && *index >= 0) indices.push_back(static_cast<size_t>(*index));
  }
  return indices;
}

}  // namespace

const char* const kPeopleColumns =
    "  name (required), age, job, workplace, home, wake_hour, sleep_hour   as in personas.json\n"
    "  traits \"calm; kind\"    relations \"Ben: partner; Rosa: colleague\"    about (or bio, description,\n"
    "  background): what {{about}} shows. Every other column becomes part of it, as \"column: value\".\n";

const char* const kOasisColumns =
    "  username, name, realname: the name. bio, description, persona, user_char, mbti, gender, country,\n"
    "  interested_topics and other texts: about. age. profession: job. following_agentid_list:\n"
    "  relations \"follows\". Left out: ids, counts, dates, previous tweets.\n";

std::vector<PersonRow> RowsOf(const std::string& path, const CsvTable& table) {
  std::vector<PersonRow> rows;
  for (const CsvRow& row : table.rows) {
    PersonRow person = {{path, row.line, "", ""}, {}};
    for (size_t i = 0; i < table.header.size(); ++i) {
      const std::string_view value = Trimmed(row.cells[i]);
      // pandas gives such columns a name, when it reads them again.
      const bool is_unnamed = table.header[i].empty() || table.header[i].starts_with("Unnamed: ");
      const std::string& column = is_unnamed ? kUnnamed : table.header[i];
      if (!value.empty()) person.values.emplace_back(column, value);
    }
    rows.push_back(std::move(person));
  }
  return rows;
}

std::vector<PersonRow> RowsOf(const std::string& path, const Json& list, Problems& problems) {
  std::vector<PersonRow> rows;
  size_t index = 0;
  for (const JsonView& entry : JsonView(&list, path, problems).Items(1, kMaxPersonas)) {
    PersonRow row = {{path, 0, fmt::format("[{}]", index++), ""}, {}};
    if (!entry.Raw().is_object()) {
      entry.Fail("an object with a person's values");
      continue;
    }
    for (const auto& [key, value] : entry.Raw().items()) {
      const std::optional<std::string> cell = CellOf(value);
      if (!cell && !value.is_null()) entry.At(key).Fail("a text, a number or a list of texts");
      if (cell && !Trimmed(*cell).empty()) row.values.emplace_back(key, Trimmed(*cell));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

bool IsOasis(const std::vector<PersonRow>& rows) {
  if (rows.empty() || !ValueOf(rows[0], "username")) return false;
  for (const char* column : {"persona", "bio", "user_char", "following_agentid_list"}) {
    if (ValueOf(rows[0], column)) return true;
  }
  return false;
}

std::vector<DraftPerson> PeopleOf(const std::vector<PersonRow>& rows, ImportReport& report,
                                  Problems& problems) {
  std::vector<DraftPerson> people;
  const auto has_name = [](const PersonRow& row) {
    return std::any_of(row.values.begin(), row.values.end(),
                       [](const auto& value) { return ColumnName(value.first) == "name"; });
  };
  if (!rows.empty() && std::none_of(rows.begin(), rows.end(), has_name)) {
    problems.Add({rows[0].place.file, 0, "", "found no name in any row, allowed: a column \"name\""});
    return people;
  }
  for (const PersonRow& row : rows) people.push_back(PersonOf(row, "name", report, problems));
  return people;
}

std::vector<DraftPerson> OasisPeopleOf(const std::vector<PersonRow>& rows, ImportReport& report,
                                       Problems& problems) {
  constexpr std::string_view kLeftOut[] = {"user_id",        "agent_id",        "id",
                                           "created_at",     "followers_count", "following_count",
                                           "following_list", "previous_tweets", "tweets_id",
                                           "karma",          "activity_level",  "activity_level_frequency",
                                           "follower_count", "is_super_user",   "follower_agentid_list"};
  std::vector<DraftPerson> people;
  for (const PersonRow& row : rows) {
    PersonRow plain = {row.place, {}};
    for (const auto& [name, value] : row.values) {
      if (std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut)) {
        report.Drop("columns", name);
      } else if (name == "name" || name == "realname") {
        plain.values.emplace_back("real name", value);
      } else if (name == "user_char") {
        plain.values.emplace_back("about", value);
      } else if (name != "following_agentid_list") {
        plain.values.emplace_back(name == "username" ? "name" : name, value);
      }
    }
    people.push_back(PersonOf(plain, "username", report, problems));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::optional<std::string> followed = ValueOf(rows[i], "following_agentid_list");
    if (!followed) continue;
    for (const size_t index : ToIndices(rows[i], "following_agentid_list", *followed, problems)) {
      if (index < people.size()) people[i].relations.push_back({people[index].name, "follows"});
      if (index >= people.size()) report.Drop("follows of agents who are not in the file", people[i].name);
    }
  }
  return people;
}

}  // namespace throng::town
