#include <algorithm>
#include <bit>

#include "llm/grammar/json_scalar.h"
#include "llm/grammar/schema_lowering.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxValues = 100'000;  // of an enum
constexpr size_t kMaxListed = 256;      // values of which an array with uniqueItems has some
constexpr size_t kMaxUnique = 8;        // different items of an array with uniqueItems: 2^n sets of them
constexpr int64_t kMaxPrefix = 10'000;  // items that are not all the same
constexpr int64_t kMaxContainedStates = 4096;  // items times those of contains

// Items by their place (prefixItems, or items as older drafts write it), and those after them.
std::pair<const Json*, const Json*> ItemsOf(const SchemaPart& part) {
  const Json* items = Find(*part.schema, "items");
  const Json* prefix = Find(*part.schema, "prefixItems");
  if (prefix != nullptr && !prefix->is_array())
    throw WrongSchema(part.path + "/prefixItems", "must be an array");
  if (prefix == nullptr && items != nullptr && items->is_array())
    return {items, Find(*part.schema, "additionalItems")};
  return {prefix, items};
}

SchemaParts PartsOfItem(const SchemaParts& parts, size_t index) {
  SchemaParts all;
  for (const SchemaPart& part : parts) {
    const auto [items, more] = ItemsOf(part);
    if (items != nullptr && index < items->size()) {
      const bool is_old = items == Find(*part.schema, "items");
      all.push_back(
          {&(*items)[index], fmt::format("{}/{}/{}", part.path, is_old ? "items" : "prefixItems", index)});
    } else if (more != nullptr) {
      const bool is_old = items != nullptr && items == Find(*part.schema, "items");
      all.push_back({more, part.path + (is_old ? "/additionalItems" : "/items")});
    }
  }
  return all;
}

}  // namespace

Grammar::Node SchemaLowering::Array(const SchemaParts& parts) {
  const std::string path = parts.empty() ? "#" : parts[0].path;
  int64_t min = CountOf(parts, "minItems", 0);
  int64_t max = CountOf(parts, "maxItems", Grammar::kUnbounded);
  if (max != Grammar::kUnbounded && max < min)
    throw NoValue{WrongSchema(path, "has a minItems above its maxItems")};
  int64_t prefix = 0;
  bool is_open = true, says_more = false;
  for (const SchemaPart& part : parts) {
    const auto [items, more] = ItemsOf(part);
    if (items != nullptr) prefix = std::max(prefix, static_cast<int64_t>(items->size()));
    is_open = is_open && (items == nullptr || more != nullptr);
    says_more = says_more || more != nullptr;
  }
  if (prefix > kMaxPrefix)
    throw WrongSchema(path, fmt::format("has more than {} different items", kMaxPrefix));
  // A tuple has no more items than are listed, unless it says of what kind they are.
  if (!is_open && !says_more) max = max == Grammar::kUnbounded ? prefix : std::min(max, prefix);
  if (max != Grammar::kUnbounded && max < min)
    throw NoValue{WrongSchema(path, "has a minItems above its number of items")};
  const std::optional<Contained> contained = ContainedBy(parts);
  for (const SchemaPart& part : parts) {
    const Json* unique = Find(*part.schema, "uniqueItems");
    if (unique == nullptr || *unique != Json(true) || max == 0 || max == 1) continue;
    if (contained) throw UnsupportedSchema(part.path + "/uniqueItems", "is not supported beside contains");
    return Unique(parts, prefix, min, max);
  }
  if (contained) return Containing(parts, *contained, prefix, min, max);

  std::vector<Grammar::Node> items;  // those before the repeated ones
  while (static_cast<int64_t>(items.size()) < prefix &&
         (max == Grammar::kUnbounded || static_cast<int64_t>(items.size()) < max)) {
    const std::optional<Grammar::Node> item = ValuesIfAny(PartsOfItem(parts, items.size()));
    if (!item) {
      max = static_cast<int64_t>(items.size());
      break;
    }
    items.push_back(*item);
  }
  const auto listed = static_cast<int64_t>(items.size());
  std::optional<Grammar::Node> more;
  if (max == Grammar::kUnbounded || max > listed) {
    more = ValuesIfAny(PartsOfItem(parts, static_cast<size_t>(prefix)));
    if (!more) max = listed;
  }
  if (max != Grammar::kUnbounded && max < min)
    throw NoValue{WrongSchema(path, fmt::format("asks for {} items, but allows {}", min, max))};
  // From the last item to the first: what follows item i.
  const Grammar::Node end = grammar_.Bytes("]");
  Grammar::Node rest = end;
  if (more) {
    const int64_t least = std::max<int64_t>(min - listed, 0);
    const int64_t most = max == Grammar::kUnbounded ? max : max - listed;
    if (listed > 0) {
      rest = grammar_.Sequence({grammar_.Repeat(Comma(*more), least, most), end});
    } else {
      const Grammar::Node first =
          grammar_.Sequence({*more, grammar_.Repeat(Comma(*more), std::max<int64_t>(least - 1, 0),
                                                    most == Grammar::kUnbounded ? most : most - 1)});
      rest = grammar_.Sequence({min == 0 ? grammar_.Optional(first) : first, end});
    }
  }
  for (int64_t i = listed; i-- > 0;) {
    CheckSize(path);
    const Grammar::Node item = items[static_cast<size_t>(i)];
    rest = grammar_.Sequence({i == 0 ? item : Comma(item), rest});
    if (i >= min) rest = grammar_.Choice({rest, end});
  }
  return grammar_.Sequence({grammar_.Bytes("["), rest});
}

// What the array must contain; nothing if it need not contain anything.
std::optional<SchemaLowering::Contained> SchemaLowering::ContainedBy(const SchemaParts& parts) {
  std::optional<Contained> contained;
  for (const SchemaPart& part : parts) {
    const Json* schema = Find(*part.schema, "contains");
    if (schema == nullptr) continue;
    Contained one;
    one.item = {schema, part.path + "/contains"};
    one.min = CountOf({part}, "minContains", 1);
    one.max = CountOf({part}, "maxContains", Grammar::kUnbounded);
    if (one.max != Grammar::kUnbounded && one.max < one.min)
      throw NoValue{WrongSchema(part.path, "has a minContains above its maxContains")};
    if (one.min == 0 && one.max == Grammar::kUnbounded) continue;
    if (contained) throw UnsupportedSchema(one.item.path, "is not the only contains that holds here");
    contained = one;
  }
  return contained;
}

// A node for each number of items, as far as it matters, and each number of those that fit `contained`.
Grammar::Node SchemaLowering::Containing(const SchemaParts& parts, const Contained& contained, int64_t prefix,
                                         int64_t min, int64_t max) {
  const std::string& path = contained.item.path;
  const bool is_bounded = max != Grammar::kUnbounded, is_limited = contained.max != Grammar::kUnbounded;
  const int64_t last = is_bounded ? max : std::max<int64_t>({1, min, prefix});
  const int64_t most = is_limited ? contained.max : contained.min;
  if ((last + 1) * (most + 1) > kMaxContainedStates)
    throw UnsupportedSchema(path,
                            fmt::format("beside its bounds needs more than {} states", kMaxContainedStates));
  const SchemaPart others = {document_.Make({{"not", *contained.item.schema}}), path};
  const Grammar::Node end = grammar_.Bytes("]");
  using Rest = std::vector<std::optional<Grammar::Node>>;  // by number of fitting items; empty: no way on
  Rest rest(static_cast<size_t>(most) + 1);
  for (int64_t count = last; count >= 0; --count) {
    CheckSize(path);
    const bool repeats = count == last && !is_bounded;
    // Items from here on. Where more than enough may fit, the others may, too.
    SchemaParts item = PartsOfItem(parts, static_cast<size_t>(std::min(count, prefix)));
    std::optional<Grammar::Node> fitting, other;
    if (count < last || repeats) {
      SchemaParts fits = item;
      fits.push_back(contained.item);
      fitting = ValuesIfAny(fits);
      if (is_limited) item.push_back(others);
      other = ValuesIfAny(item);
    }
    const auto with_comma = [&](Grammar::Node node) { return count == 0 ? node : Comma(node); };
    Rest before(rest.size());
    for (int64_t found = most; found >= 0; --found) {
      std::vector<Grammar::Node> choices;
      if (count >= min && found >= contained.min) choices.push_back(end);
      const auto after = [&](int64_t next) { return (repeats ? before : rest)[static_cast<size_t>(next)]; };
      if (fitting && found < most && after(found + 1))
        choices.push_back(grammar_.Sequence({with_comma(*fitting), *after(found + 1)}));
      if (!repeats && other && after(found))
        choices.push_back(grammar_.Sequence({with_comma(*other), *after(found)}));
      if (choices.empty()) continue;
      Grammar::Node node = Choice(std::move(choices));
      if (repeats && other)
        node = grammar_.Sequence({grammar_.Repeat(Comma(*other), 0, Grammar::kUnbounded), node});
      before[static_cast<size_t>(found)] = node;
    }
    rest = std::move(before);
  }
  if (!rest[0]) throw NoValue{WrongSchema(path, "allows no array")};
  return grammar_.Sequence({grammar_.Bytes("["), *rest[0]});
}

// Arrays of different items out of a few: a rule for each set of items that are left. Of more than a few, in
// the order of their list: a rule for each of them.
Grammar::Node SchemaLowering::Unique(const SchemaParts& parts, int64_t prefix, int64_t min, int64_t max) {
  const std::string path = parts[0].path + "/uniqueItems";
  std::vector<Json> values;
  const bool is_list = prefix == 0 && ListOf(PartsOfItem(parts, 0), values);
  if (!is_list)
    throw UnsupportedSchema(path,
                            fmt::format("is supported for items of at most {} listed values", kMaxListed));
  const auto all = static_cast<uint32_t>(values.size());
  if (max == Grammar::kUnbounded || max > all) max = all;
  if (max < min)
    throw NoValue{WrongSchema(path, fmt::format("allows {} items at most, fewer than minItems", all))};
  if (all > kMaxUnique) return InOrder(values, min, max, path);
  std::vector<Grammar::Node> after(size_t{1} << all);  // by set of the items that are there
  const Grammar::Node end = grammar_.Bytes("]");
  for (size_t there = after.size(); there-- > 0;) {
    const int64_t count = std::popcount(there);
    std::vector<Grammar::Node> choices;
    if (count >= min) choices.push_back(end);
    for (uint32_t i = 0; i < all && count < max; ++i) {
      if ((there >> i & 1) != 0) continue;
      const std::string text = (count == 0 ? "" : ",") + style_.Write(values[i]);
      choices.push_back(grammar_.Sequence({grammar_.Bytes(text), after[there | size_t{1} << i]}));
    }
    after[there] = choices.empty() ? end : Choice(std::move(choices));
  }
  return grammar_.Sequence({grammar_.Bytes("["), after[0]});
}

// min to max of the values, each after those that come before it in the list.
Grammar::Node SchemaLowering::InOrder(const std::vector<Json>& values, int64_t min, int64_t max,
                                      const std::string& path) {
  const auto size = static_cast<int64_t>(values.size());
  const bool is_limited = max < size;
  const int64_t counts = std::max<int64_t>({1, min, is_limited ? max : 0});  // from here on, all are the same
  if (size * counts > kMaxContainedStates)
    throw UnsupportedSchema(path,
                            fmt::format("beside its bounds needs more than {} states", kMaxContainedStates));
  const Grammar::Node end = grammar_.Bytes("]");
  using Rest = std::vector<std::optional<Grammar::Node>>;  // by number of items; empty: no way on
  Rest rest(static_cast<size_t>(counts) + 1);
  for (int64_t count = min; count <= counts; ++count) rest[static_cast<size_t>(count)] = end;
  for (int64_t i = size; i-- > 0;) {
    const std::string text = style_.Write(values[static_cast<size_t>(i)]);
    const Grammar::Node first = grammar_.Bytes(text), next = grammar_.Bytes("," + text);
    Rest before(rest.size());
    for (int64_t count = 0; count <= std::min(i, counts); ++count) {
      const std::optional<Grammar::Node>& without = rest[static_cast<size_t>(count)];
      const std::optional<Grammar::Node>& with = rest[static_cast<size_t>(std::min(count + 1, counts))];
      std::vector<Grammar::Node> choices;
      if (with && (!is_limited || count < max))
        choices.push_back(grammar_.Sequence({count == 0 ? first : next, *with}));
      if (without) choices.push_back(*without);
      if (!choices.empty()) before[static_cast<size_t>(count)] = Choice(std::move(choices));
    }
    rest = std::move(before);
  }
  return grammar_.Sequence({grammar_.Bytes("["), *rest[0]});
}

// Whether parts allow a few listed values, and which.
bool SchemaLowering::ListOf(const SchemaParts& parts, std::vector<Json>& values) {
  for (const SchemaParts& alternative : document_.Alternatives(parts)) {
    const uint32_t types = TypesOf(alternative);
    const Json* list = nullptr;
    const Json booleans = {false, true};
    Json single;
    for (const SchemaPart& part : alternative) {
      if (const Json* value = Find(*part.schema, "const")) single = Json::array({*value}), list = &single;
      if (const Json* some = Find(*part.schema, "enum")) list = some;
    }
    if (list == nullptr && types == kBoolean) list = &booleans;
    if (list == nullptr || !list->is_array() || list->size() > kMaxValues) return false;
    const SchemaDocument::Check check = document_.CheckOf(alternative);
    for (const Json& value : *list) {
      if ((types & TypeOf(value)) == 0 || !check.Allows(value)) continue;
      if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
      if (values.size() > kMaxListed) return false;
    }
  }
  return true;
}

}  // namespace throng::llm
