#include "common/sim/mujoco/model_xml.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace backflip::sim {
namespace {

using absl::string_view;
constexpr size_t npos = string_view::npos;

bool IsXmlSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool IsNamePart(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0 ||
         absl::StrContains(":_.-", c);
}

// Just after the `>` of the tag at `begin`; npos: it is not closed.
size_t TagEnd(string_view xml, size_t begin) {
  for (size_t at = begin; at < xml.size(); ++at) {
    if (xml[at] == '>') return at + 1;
    if (xml[at] != '"' && xml[at] != '\'') continue;
    at = xml.find(xml[at], at + 1);
    if (at == npos) break;
  }
  return npos;
}

// Just after what begins with the `<` at `begin`, by the rules of MuJoCo's parser (tinyxml2).
size_t MarkupEnd(string_view xml, size_t begin) {
  const string_view rest = xml.substr(begin);
  for (const auto& [opening, closing] : {std::pair<string_view, string_view>("<?", "?>"),
                                         {"<!--", "-->"},
                                         {"<![CDATA[", "]]>"},
                                         {"<!", ">"}}) {
    if (!absl::StartsWith(rest, opening)) continue;
    const size_t end = xml.find(closing, begin + opening.size());
    return end == npos ? npos : end + closing.size();
  }
  return TagEnd(xml, begin);
}

// The value with its character references as they are read. False: one of them cannot be, or
// stands for nothing, and what is left of it is anybody's guess.
bool Decode(string_view value, std::string* decoded) {
  for (size_t at = 0; at < value.size(); ++at) {
    if (!absl::StartsWith(value.substr(at), "&#")) {
      *decoded += value[at];
      continue;
    }
    const size_t end = value.find(';', at);
    if (end == npos) return false;
    string_view digits = value.substr(at + 2, end - at - 2);
    const bool hexadecimal = absl::StartsWith(digits, "x");
    if (hexadecimal) digits.remove_prefix(1);
    int64_t code = 0;
    for (const char c : digits) {
      const auto digit = static_cast<unsigned char>(c);
      if (hexadecimal ? std::isxdigit(digit) == 0 : std::isdigit(digit) == 0) return false;
      code = code * (hexadecimal ? 16 : 10) + (c <= '9' ? c - '0' : std::tolower(digit) - 'a' + 10);
      if (code > 0x10ffff) return false;
    }
    if (code == 0) return false;
    // no other sign matters in a path's beginning
    *decoded += code < 0x80 ? static_cast<char>(code) : '?';
    at = end;
  }
  return true;
}

// How many folders a path goes up from where it begins.
int FoldersUp(string_view path) {
  int depth = 0, lowest = 0;
  for (const string_view part : absl::StrSplit(path, absl::ByAnyChar("/\\"))) {
    if (part == "..") lowest = std::min(lowest, --depth);
    if (part != ".." && part != "." && !part.empty()) ++depth;
  }
  return -lowest;
}

// On Windows, too: MuJoCo knows these paths everywhere.
bool MayLeave(string_view value) {
  std::string path;
  if (!Decode(value, &path)) return true;
  const bool has_drive = path.size() > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
  // MuJoCo takes a scheme off: package:///file is /file
  return absl::StartsWith(path, "/") || absl::StartsWith(path, "\\") || has_drive ||
         absl::StrContains(path, ":///") || FoldersUp(path) > kMostFoldersUp;
}

}  // namespace

std::string WithoutComments(string_view xml) {
  xml = xml.substr(0, xml.find('\0'));
  std::string rest;
  for (size_t at = 0; at < xml.size();) {
    const size_t begin = xml.find('<', at);
    const size_t end = begin == npos ? npos : MarkupEnd(xml, begin);
    if (end == npos) return absl::StrCat(rest, xml.substr(at));
    const bool is_comment = absl::StartsWith(xml.substr(begin), "<!--");
    absl::StrAppend(&rest, xml.substr(at, (is_comment ? begin : end) - at));
    at = end;
  }
  return rest;
}

std::string LeavingPathIn(string_view content) {
  if (!absl::StrContains(content.substr(0, content.find('\0')), '<')) return "";
  const std::string kept = WithoutComments(content);
  const string_view xml = kept;
  for (size_t at = xml.find('='); at != npos; at = xml.find('=', at + 1)) {
    size_t end = at, value = at + 1;
    while (end > 0 && IsXmlSpace(xml[end - 1])) --end;
    size_t begin = end;
    while (begin > 0 && IsNamePart(xml[begin - 1])) --begin;
    const string_view name = xml.substr(begin, end - begin);
    if (!absl::StrContains(name, "file") && !absl::EndsWith(name, "dir")) continue;
    while (value < xml.size() && IsXmlSpace(xml[value])) ++value;
    if (value + 1 >= xml.size() || (xml[value] != '"' && xml[value] != '\'')) continue;
    const char quote = xml[value++];
    const string_view path = xml.substr(value, xml.find(quote, value) - value);
    if (MayLeave(path)) return std::string(path);
  }
  return "";
}

XmlTag FindTag(string_view xml, string_view name, size_t from) {
  for (size_t at = xml.find('<', from); at != npos;) {
    const size_t end = MarkupEnd(xml, at);
    if (end == npos) break;
    const string_view tag = xml.substr(at + 1, end - at - 1);
    if (absl::StartsWith(tag, name) && !IsNamePart(tag[name.size()])) return {at, end};
    at = xml.find('<', end);
  }
  return {};
}

size_t ElementEnd(string_view xml, string_view name, XmlTag tag) {
  if (xml[tag.end - 2] == '/') return tag.end;
  const XmlTag closing = FindTag(xml, absl::StrCat("/", name), tag.end);
  return closing ? closing.end : xml.size();
}

XmlTag FindAttribute(string_view xml, XmlTag tag, string_view attribute) {
  size_t at = tag.begin + 1;
  while (at < tag.end && IsNamePart(xml[at])) ++at;
  while (at < tag.end) {
    while (at < tag.end && !IsNamePart(xml[at])) ++at;
    size_t end = at;
    while (end < tag.end && IsNamePart(xml[end])) ++end;
    const string_view name = xml.substr(at, end - at);
    const size_t opening = xml.find_first_of("\"'", end);
    if (opening >= tag.end) break;
    const size_t closing = xml.find(xml[opening], opening + 1);
    if (closing >= tag.end) break;
    if (name == attribute) return {opening + 1, closing};
    at = closing + 1;
  }
  return {};
}

std::string AttributeOf(string_view xml, XmlTag tag, string_view attribute) {
  const XmlTag value = FindAttribute(xml, tag, attribute);
  return value ? std::string(xml.substr(value.begin, value.end - value.begin)) : "";
}

}  // namespace backflip::sim
