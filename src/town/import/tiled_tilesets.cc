#include "town/import/tiled_tilesets.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

namespace throng::town {
namespace {

constexpr const char* kNames[] = {"collides", "collision", "solid"};
constexpr uint32_t kMostTiles = 0x0FFFFFFF;

struct XmlTag {
  std::string name;
  std::map<std::string, std::string> attributes;  // as written: names and numbers have no entities
  bool begins = false;
  bool ends = false;
};

// The tags of an XML text, one after the other. Text between them, comments and declarations are left out.
class XmlTags {
 public:
  explicit XmlTags(std::string_view text) : left_(text) {}

  // Nothing at the end, and where the text is no XML.
  std::optional<XmlTag> Next() {
    while (true) {
      const size_t begin = left_.find('<');
      if (begin == left_.npos) return std::nullopt;
      left_.remove_prefix(begin);
      const bool is_comment = left_.starts_with("<!--");
      if (!is_comment && !left_.starts_with("<?") && !left_.starts_with("<!")) break;
      const std::string_view end = is_comment ? "-->" : ">";
      left_.remove_prefix(std::min(left_.size(), left_.find(end, 2)));
    }
    left_.remove_prefix(1);
    XmlTag tag;
    tag.begins = !Take('/');
    tag.ends = !tag.begins;
    tag.name = Name();
    while (ReadAttribute(tag)) {
    }
    if (Take('/')) tag.ends = true;
    return Take('>') ? std::optional(tag) : std::nullopt;
  }

 private:
  bool Take(char c) {
    if (!left_.starts_with(c)) return false;
    left_.remove_prefix(1);
    return true;
  }

  std::string Until(std::string_view ends) {
    const std::string_view part = left_.substr(0, left_.find_first_of(ends));
    left_.remove_prefix(part.size());
    return std::string(part);
  }
  std::string Name() { return Until(" \t\r\n/>="); }

  bool ReadAttribute(XmlTag& tag) {
    left_.remove_prefix(std::min(left_.size(), left_.find_first_not_of(" \t\r\n")));
    const std::string name = Name();
    if (name.empty() || !Take('=')) return false;
    const char quote = left_.empty() ? '\0' : left_[0];
    if ((quote != '"' && quote != '\'') || !Take(quote)) return false;
    tag.attributes[name] = Until({&quote, 1});
    return Take(quote);
  }

  std::string_view left_;
};

std::string AttributeOf(const XmlTag& tag, const std::string& name) {
  const auto found = tag.attributes.find(name);
  return found == tag.attributes.end() ? "" : found->second;
}

bool IsSolid(const XmlTag& property) {
  const std::string name = AttributeOf(property, "name");
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) &&
         AttributeOf(property, "value") == "true";
}

// Whether the text is a tileset, whose solid tiles go to `solid`.
bool ReadXmlTileset(const std::string& text, std::set<uint32_t>& solid) {
  const std::vector<std::string> kTile = {"tileset", "tile"};
  const std::vector<std::string> kProperty = {"tileset", "tile", "properties", "property"};
  XmlTags tags(text);
  std::vector<std::string> path;
  uint32_t tile = 0;
  bool is_whole = false;
  while (const std::optional<XmlTag> tag = tags.Next()) {
    if (tag->begins) path.push_back(tag->name);
    if (path.empty() || path.front() != "tileset" || path.back() != tag->name) return false;
    if (tag->begins && path == kTile) {
      const std::string id = AttributeOf(*tag, "id");
      const auto read = std::from_chars(id.data(), id.data() + id.size(), tile);
      if (read.ec != std::errc() || tile > kMostTiles) return false;
    }
    if (tag->begins && path == kProperty && IsSolid(*tag)) solid.insert(tile);
    if (tag->ends) path.pop_back();
    is_whole = path.empty();
  }
  return is_whole;
}

}  // namespace

std::optional<JsonView> Property(const JsonView& element, std::string_view name) {
  const std::optional<JsonView> list = element.Find("properties");
  if (!list) return std::nullopt;
  for (const JsonView& property : list->Items(0, 1000)) {
    if (property.At("name").Text(0, 1000) == name) return property.At("value");
  }
  return std::nullopt;
}

bool Collides(const JsonView& element) {
  return std::any_of(std::begin(kNames), std::end(kNames), [&](const char* name) {
    const std::optional<JsonView> value = Property(element, name);
    return value && value->Bool();
  });
}

std::set<uint32_t> SolidTilesOf(const JsonView& tileset) {
  std::set<uint32_t> solid;
  const std::optional<JsonView> tiles = tileset.Find("tiles");
  if (!tiles) return solid;
  for (const JsonView& tile : tiles->Items(0, 100000)) {
    const auto id = static_cast<uint32_t>(tile.At("id").Int(0, kMostTiles));
    if (Collides(tile)) solid.insert(id);
  }
  return solid;
}

std::set<uint32_t> SolidTilesOfFile(const std::string& path, Problems& problems) {
  std::set<uint32_t> solid;
  if (std::filesystem::path(path).extension() != ".tsx") {
    const std::optional<Json> json = ReadJson(path, problems);
    return json ? SolidTilesOf(JsonView(&*json, path, problems)) : solid;
  }
  const std::optional<std::string> text = ReadText(path, problems);
  if (text && !ReadXmlTileset(*text, solid)) {
    problems.Add({path, 0, "", "this is no tileset of Tiled, allowed: its XML (.tsx) or JSON (.tsj)"});
  }
  return solid;
}

}  // namespace throng::town
