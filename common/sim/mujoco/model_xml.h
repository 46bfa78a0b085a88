// Models' XML as text, before MuJoCo parses it.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MODEL_XML_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MODEL_XML_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace backflip::sim {

// The text as far as a parser of C strings reads it, without its comments. What looks like a
// comment within a quoted value or a CDATA section stays, and so does what is never closed.
std::string WithoutComments(absl::string_view xml);

// How many folders up a path may go. MuJoCo joins two of them (`meshdir` and `file`).
inline constexpr int kMostFoldersUp = 6;

// The first path in an attribute for a file or a folder that is absolute, goes further up than
// kMostFoldersUp, or may do so behind a character reference that cannot be read; as it stands
// there. Any content; comments do not count. Empty: there is none.
std::string LeavingPathIn(absl::string_view content);

// The start tag of an element: text[begin, end), from `<` to after `>`. A value may hold any of
// these signs. begin == npos: there is none.
struct XmlTag {
  size_t begin = absl::string_view::npos, end = absl::string_view::npos;
  explicit operator bool() const { return begin != absl::string_view::npos; }
};
// The next element of a name, in a text without comments.
XmlTag FindTag(absl::string_view xml, absl::string_view name, size_t from = 0);
// Just after the end of the tag's element, which holds no other of its name.
size_t ElementEnd(absl::string_view xml, absl::string_view name, XmlTag tag);

// Where the value of a tag's attribute is, without its quotes. begin == npos: there is none.
XmlTag FindAttribute(absl::string_view xml, XmlTag tag, absl::string_view attribute);
// That value; empty: there is none.
std::string AttributeOf(absl::string_view xml, XmlTag tag, absl::string_view attribute);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MODEL_XML_H_
