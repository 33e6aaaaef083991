#include "llm/regular/number.h"

#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "llm/regular/decimal.h"

namespace throng::llm {
namespace {

constexpr int64_t kDigits = 18;          // fits an int64_t; a double needs 17
constexpr int64_t kDistinctDigits = 15;  // decimals of so many are different doubles
constexpr int64_t kReachedDigits = 40;   // of a bound: all 128-bit numbers
constexpr int64_t kMaxExponent = 307;    // 9.99e307 is a double, and so is 1e-307
constexpr uint32_t kPoint = 10;          // its class; those of the digits are 0 to 9

// A bound of absolute values.
struct Bound {
  Decimal at;
  bool exclusive = false;
};

// The absolute values that a sign can have; no low is 0.
struct Range {
  Bound low;
  std::optional<Bound> high;
};

struct Limits {
  std::optional<Bound> low;
  std::optional<Bound> high;
  std::optional<Decimal> multiple_of;
};

Limits Parse(const NumberBounds& bounds, std::string_view where) {
  Limits limits;
  const auto take = [&](const std::string& json, const char* keyword, bool exclusive, bool is_low) {
    if (json.empty()) return;
    std::optional<Bound>& bound = is_low ? limits.low : limits.high;
    const Decimal at = ParseDecimal(json, fmt::format("{}/{}", where, keyword));
    const bool closer = !bound || (is_low ? at > bound->at : at < bound->at);
    if (closer) {
      bound = Bound{at, exclusive};
    } else if (at == bound->at) {
      bound->exclusive |= exclusive;
    }
  };
  take(bounds.minimum, "minimum", false, true);
  take(bounds.exclusive_minimum, "exclusiveMinimum", true, true);
  take(bounds.maximum, "maximum", false, false);
  take(bounds.exclusive_maximum, "exclusiveMaximum", true, false);
  if (!bounds.multiple_of.empty()) {
    limits.multiple_of = ParseDecimal(bounds.multiple_of, fmt::format("{}/multipleOf", where));
    if (limits.multiple_of->negative || limits.multiple_of->IsZero())
      throw MakeError(ErrorCode::kInvalid, "{}/multipleOf must be above 0, not {}", where,
                      bounds.multiple_of);
  }
  return limits;
}

// Automata over the digits and the point whose states have names.
template <typename Name>
class Named {
 public:
  // The state of a name; the first one is the start.
  uint32_t Id(const Name& name) {
    const auto [found, is_new] = ids_.try_emplace(name, static_cast<uint32_t>(names_.size()));
    if (is_new) {
      names_.push_back(name);
      states_.emplace_back();
    }
    return found->second;
  }
  void Edge(const Name& from, uint32_t chars, const Name& to) {
    const uint32_t next = Id(to);
    states_[Id(from)].edges.push_back({chars, next});
  }
  void Accept(const Name& name) { states_[Id(name)].accepts = true; }
  size_t Size() const { return names_.size(); }
  Name At(size_t i) const { return names_[i]; }

  Regular Take() {
    std::vector<CodePoints> classes;
    for (uint32_t digit = 0; digit < 10; ++digit) classes.push_back({{'0' + digit, '0' + digit}});
    classes.push_back({{'.', '.'}});
    return {std::move(classes), std::move(states_)};
  }

 private:
  std::map<Name, uint32_t> ids_;
  std::vector<Name> names_;
  std::vector<Regular::State> states_;
};

// Numbers written out: up to max_whole digits before the point, without needless zeros, and with a point up
// to max_digits in all, or none has one.
Regular Written(int64_t max_whole, int64_t max_digits) {
  enum Part { kStart, kZero, kWhole, kDot, kFraction };
  using Name = std::pair<Part, int64_t>;  // and the number of digits
  Named<Name> named;
  named.Id({kStart, 0});
  for (size_t i = 0; i < named.Size(); ++i) {
    const Name name = named.At(i);
    const auto [part, count] = name;
    if (part == kStart) {
      named.Edge(name, 0, {kZero, 1});
      for (uint32_t digit = 1; digit < 10; ++digit) named.Edge(name, digit, {kWhole, 1});
      continue;
    }
    if (part != kDot) named.Accept(name);
    if ((part == kZero || part == kWhole) && count < max_digits) named.Edge(name, kPoint, {kDot, count});
    if (count == (part == kZero ? 1 : part == kWhole ? max_whole : max_digits)) continue;
    const Name next = {part == kWhole ? kWhole : kFraction, count + 1};
    for (uint32_t digit = 0; digit < 10; ++digit) named.Edge(name, digit, next);
  }
  return named.Take();
}

// Numbers written out, without needless zeros at the beginning, of which `allowed` holds: of -1, 0 or 1,
// where they are below, at or above a bound.
template <typename Allowed>
Regular Compared(const Decimal& bound, Allowed allowed) {
  const std::string whole = bound.WholeDigits();
  const std::string fraction = bound.FractionDigits();
  const auto num_whole = static_cast<int64_t>(whole.size());
  const auto num_fraction = static_cast<int64_t>(fraction.size());
  // Whether the point was read; the digits since, up to one more than the bound has; and how these compare
  // with as many of the bound.
  using Name = std::tuple<bool, int64_t, int>;
  // How the whole digits compare: a longer number is a larger one.
  const auto whole_order = [&](int64_t count, int order) {
    return count == num_whole ? order : count < num_whole ? -1 : 1;
  };
  Named<Name> named;
  named.Id({false, 0, 0});
  for (size_t i = 0; i < named.Size(); ++i) {
    const Name name = named.At(i);
    const auto [in_fraction, count, order] = name;
    const int so_far = in_fraction ? order : whole_order(count, order);
    const bool more = in_fraction ? count < num_fraction : num_fraction > 0;
    if (allowed(so_far == 0 && more ? -1 : so_far)) named.Accept(name);
    if (!in_fraction) named.Edge(name, kPoint, {true, 0, so_far});
    const std::string& digits = in_fraction ? fraction : whole;
    const auto place = static_cast<size_t>(count);
    const auto expected = static_cast<uint32_t>(place < digits.size() ? digits[place] - '0' : 0);
    const int64_t next_count = in_fraction ? (order == 0 ? std::min(count + 1, num_fraction) : 0)
                                           : std::min(count + 1, num_whole + 1);
    for (uint32_t digit = 0; digit < 10; ++digit) {
      const int next_order = order != 0 ? order : digit < expected ? -1 : digit > expected ? 1 : 0;
      named.Edge(name, digit, {in_fraction, next_order == 0 || !in_fraction ? next_count : 0, next_order});
    }
  }
  return named.Take();
}

// Numbers written out that are whole multiples of a unit: OF times ten to the power of -places.
Regular Multiples(const Decimal& unit, std::string_view where) {
  const auto wide = [&] {
    return MakeError(ErrorCode::kUnsupported, "{}/multipleOf needs more than {} automaton states", where,
                     Regular::kMaxStates);
  };
  if (unit.digits.size() > 5) throw wide();
  const int64_t of = std::stoll(unit.digits);
  const int64_t places = static_cast<int64_t>(unit.digits.size()) - unit.point;
  const int64_t zeros = std::max<int64_t>(-places, 0);  // at the end of all multiples but 0
  if ((std::max<int64_t>(places, 0) + 1) * of + zeros > static_cast<int64_t>(Regular::kMaxStates) / 2)
    throw wide();
  const auto is_multiple = [&](int64_t rest, int64_t count) {
    for (int64_t i = count; i < places; ++i) rest = rest * 10 % of;
    return rest == 0;
  };

  // kWhole and kFraction: what the digits so far leave when divided by OF, and how many are in the fraction.
  // kZeros: how many of the zeros at the end were read. kEnd: there are only more zeros.
  enum Part { kStart, kWhole, kFraction, kZeros, kEnd };
  using Name = std::tuple<Part, int64_t, int64_t>;
  const Name end = {kEnd, 0, 0};
  Named<Name> named;
  named.Id({kStart, 0, 0});
  for (size_t i = 0; i < named.Size(); ++i) {
    const Name name = named.At(i);
    const auto [part, rest, count] = name;
    const bool takes_digits = part == kStart || part == kWhole || (part == kFraction && count < places);
    if (takes_digits) {
      for (uint32_t digit = 0; digit < 10; ++digit) {
        const int64_t next = (rest * 10 + digit) % of;
        named.Edge(name, digit, part == kFraction ? Name{kFraction, next, count + 1} : Name{kWhole, next, 0});
      }
    }
    if (part == kStart) named.Edge(name, 0, end);
    bool is_end = part == kEnd;
    if (zeros > 0) {
      if (part == kWhole && rest == 0) named.Edge(name, 0, {kZeros, 0, 1});
      if (part == kZeros && count < zeros) named.Edge(name, 0, {kZeros, 0, count + 1});
      is_end |= part == kZeros && count == zeros;
    } else if (part == kWhole || part == kFraction) {
      is_end |= is_multiple(rest, count);
      if (part == kWhole && places > 0) named.Edge(name, kPoint, {kFraction, rest, 0});
    }
    if (!is_end) continue;
    named.Accept(name);
    if (part != kFraction || count == places) named.Edge(name, 0, end);
    if (part != kFraction) named.Edge(name, kPoint, end);
  }
  return Reduced(named.Take());
}

// Numbers written out within a range, of which some are written as `written` says.
Regular Within(const Regular& written, const Range& range, std::string_view where) {
  const Bound& low = range.low;
  Regular texts = Intersection(
      written, Compared(low.at, [&](int order) { return order > 0 || (order == 0 && !low.exclusive); }),
      where);
  if (!range.high) return texts;
  const Bound& high = *range.high;
  return Intersection(
      texts, Compared(high.at, [&](int order) { return order < 0 || (order == 0 && !high.exclusive); }),
      where);
}

// Those of the texts that are multiples, if there is a multipleOf.
Regular OnlyMultiples(const Limits& limits, const Regular& texts, std::string_view where) {
  if (!limits.multiple_of) return texts;
  return Intersection(texts, Multiples(*limits.multiple_of, where), fmt::format("{}/multipleOf", where));
}

int64_t NumWhole(const Decimal& number) { return std::max<int64_t>(number.point, 1); }
int64_t NumDigits(const Decimal& number) {
  return NumWhole(number) + std::max<int64_t>(static_cast<int64_t>(number.digits.size()) - number.point, 0);
}

// The digits before the point that the numbers of a range may have.
int64_t MaxWhole(const Range& range) {
  if (range.high && NumWhole(range.high->at) <= kReachedDigits) return NumWhole(range.high->at);
  return std::max(kDigits, NumWhole(range.low.at) + 1);
}

Decimal FromInteger(int64_t number) { return ParseDecimal(std::to_string(number), "a number"); }

// The exponents from first to last: with or without + and a zero before a single digit.
Regular Exponents(int64_t first, int64_t last, std::string_view where) {
  const auto digits = [&](int64_t low, int64_t high) -> Regular {
    if (low > high) return {};
    const auto written = [&](int64_t to) {
      return Within(Written(3, 0), {{FromInteger(low), false}, Bound{FromInteger(to), false}}, where);
    };
    return Union(written(high), Concatenation(Literal("0"), written(std::min<int64_t>(high, 9)), where),
                 where);
  };
  const Regular sign = Union(Literal(""), Literal("+"), where);
  return Union(Concatenation(Literal("-"), digits(std::max<int64_t>(-last, 1), -first), where),
               Concatenation(sign, digits(std::max<int64_t>(first, 0), last), where), where);
}

// One digit but 0, a fraction, and an exponent: of the numbers of a range that are not 0, with max_digits
// before the exponent.
Regular Scientific(const Range& range, int64_t max_digits, std::string_view where) {
  // A bound is a number from 1 to below 10, times ten to the power of its exponent.
  const auto exponent_of = [](const Decimal& number) { return number.point - 1; };
  const auto scaled = [](Bound bound) {
    bound.at.point = 1;
    return bound;
  };
  int64_t first = -kMaxExponent;
  Bound low = {FromInteger(1), false};
  if (!range.low.at.IsZero() && exponent_of(range.low.at) >= first) {
    first = exponent_of(range.low.at);
    low = scaled(range.low);
  }
  int64_t last = kMaxExponent;
  std::optional<Bound> high;
  if (range.high && range.high->at.IsZero()) return {};
  if (range.high && exponent_of(range.high->at) <= last) {
    last = exponent_of(range.high->at);
    high = scaled(*range.high);
  }
  const auto with_exponents = [&](const Range& mantissas, int64_t from, int64_t to) -> Regular {
    if (from > to) return {};
    const Regular written = Within(Written(1, max_digits), mantissas, where);
    const Regular e = Chars({{'E', 'E'}, {'e', 'e'}}, 1, 1, where);
    return Concatenation(Concatenation(written, e, where), Exponents(from, to, where), where);
  };
  const Bound one = {FromInteger(1), false};
  if (first == last) return with_exponents({low, high}, first, last);
  Regular texts = with_exponents({low, std::nullopt}, first, first);
  texts = Union(texts, with_exponents({one, std::nullopt}, first + 1, last - 1), where);
  return Union(texts, with_exponents({one, high}, last, last), where);
}

// The texts of both signs; `of_range` makes those of absolute values.
template <typename OfRange>
Regular Signed(const Limits& limits, std::string_view where, OfRange of_range) {
  const auto negated = [](Bound bound) {
    bound.at = bound.at.Negated();
    return bound;
  };
  Regular texts;
  if (!limits.high || !limits.high->at.negative) {
    const bool is_above_zero = limits.low && !limits.low->at.negative;
    texts = of_range(Range{is_above_zero ? *limits.low : Bound{}, limits.high});
  }
  if (!limits.low || limits.low->at.negative) {
    Range range{Bound{{}, true}, std::nullopt};
    if (limits.high && limits.high->at.negative) range.low = negated(*limits.high);
    if (limits.low) range.high = negated(*limits.low);
    texts = Union(texts, Concatenation(Literal("-"), of_range(range), where), where);
  }
  return Reduced(texts);
}

}  // namespace

Regular IntegerTexts(const NumberBounds& bounds, std::string_view where) {
  const Limits limits = Parse(bounds, where);
  return Signed(limits, where, [&](const Range& range) {
    return OnlyMultiples(limits, Within(Written(MaxWhole(range), 0), range, where), where);
  });
}

Regular NumberTexts(const NumberBounds& bounds, std::string_view where) {
  const Limits limits = Parse(bounds, where);
  return Signed(limits, where, [&](const Range& range) {
    const Bound high = range.high.value_or(Bound{});
    const bool is_exclusive =
        (range.low.exclusive && !range.low.at.IsZero()) || (high.exclusive && !high.at.IsZero());
    const int64_t usual_digits = is_exclusive ? kDistinctDigits : kDigits;
    int64_t max_digits = usual_digits;
    for (const Decimal& bound : {range.low.at, high.at})
      if (NumDigits(bound) <= kReachedDigits) max_digits = std::max(max_digits, NumDigits(bound) + 1);
    const Regular texts = Within(Written(MaxWhole(range), max_digits), range, where);
    if (limits.multiple_of) return OnlyMultiples(limits, texts, where);
    return Union(texts, Scientific(range, usual_digits, where), where);
  });
}

}  // namespace throng::llm
