#include "common/sim/mujoco/glb_writer.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace backflip::sim {
namespace {

// glTF's names of numbers
constexpr int kFloat = 5126, kUint16 = 5123, kUint32 = 5125;
constexpr int kVertices = 34962, kIndices = 34963, kNoTarget = 0;

void Align(char fill, std::string* bytes) { bytes->resize((bytes->size() + 3) / 4 * 4, fill); }

void AppendUint32(size_t value, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

}  // namespace

GlbWriter::GlbWriter() {
  json_["asset"] = {{"version", "2.0"}, {"generator", "backflip"}};
  json_["scene"] = 0;
}

int GlbWriter::AddShape(const Mesh& mesh) {
  Json primitive;
  Json& attributes = primitive["attributes"];
  attributes["POSITION"] = AddAccessor(mesh.positions, 3, "VEC3", kVertices);
  std::array<float, 3> low = {mesh.positions[0], mesh.positions[1], mesh.positions[2]}, high = low;
  for (size_t i = 0; i < mesh.positions.size(); ++i) {
    low[i % 3] = std::min(low[i % 3], mesh.positions[i]);
    high[i % 3] = std::max(high[i % 3], mesh.positions[i]);
  }
  json_["accessors"].back()["min"] = low;
  json_["accessors"].back()["max"] = high;
  if (!mesh.normals.empty()) {
    attributes["NORMAL"] = AddAccessor(mesh.normals, 3, "VEC3", kVertices);
  }
  if (!mesh.joints.empty()) {
    attributes["JOINTS_0"] = AddAccessor(mesh.joints, 4, "VEC4", kVertices);
    attributes["WEIGHTS_0"] = AddAccessor(mesh.weights, 4, "VEC4", kVertices);
  }
  const bool small = mesh.positions.size() / 3 <= 65'535;
  primitive["indices"] =
      small ? AddAccessor(std::vector<uint16_t>(mesh.indices.begin(), mesh.indices.end()), 1,
                          "SCALAR", kIndices)
            : AddAccessor(mesh.indices, 1, "SCALAR", kIndices);
  shapes_.push_back(std::move(primitive));
  return static_cast<int>(shapes_.size()) - 1;
}

int GlbWriter::MeshOf(int shape, const std::array<float, 4>& rgba, bool both_sides) {
  const int material = Material(rgba, both_sides);
  const auto [known, added] = meshes_.emplace(std::pair(shape, material), 0);
  if (added) {
    Json primitive = shapes_[shape];
    primitive["material"] = material;
    known->second = Add("meshes", {{"primitives", Json::array({std::move(primitive)})}});
  }
  return known->second;
}

int GlbWriter::AddSkin(const std::vector<int>& nodes, const std::vector<float>& inverse_binds) {
  const int matrices = AddAccessor(inverse_binds, 16, "MAT4", kNoTarget);
  return Add("skins", {{"joints", nodes}, {"inverseBindMatrices", matrices}});
}

std::string GlbWriter::Finish(Json scene) {
  json_["scenes"] = Json::array({std::move(scene)});
  Align(0, &binary_);
  json_["buffers"] = Json::array({{{"byteLength", binary_.size()}}});
  std::string text = json_.dump();
  Align(' ', &text);
  std::string glb = "glTF";
  AppendUint32(2, &glb);
  AppendUint32(12 + 8 + text.size() + 8 + binary_.size(), &glb);
  AppendUint32(text.size(), &glb);
  glb += "JSON" + text;
  AppendUint32(binary_.size(), &glb);
  glb += std::string("BIN\0", 4) + binary_;
  return glb;
}

int GlbWriter::Add(const char* list, Json item) {
  json_[list].push_back(std::move(item));
  return static_cast<int>(json_[list].size()) - 1;
}

template <typename T>
int GlbWriter::AddAccessor(const std::vector<T>& values, int per_item, const char* type,
                           int target) {
  Align(0, &binary_);
  Json view = {
      {"buffer", 0}, {"byteOffset", binary_.size()}, {"byteLength", values.size() * sizeof(T)}};
  if (target != kNoTarget) view["target"] = target;
  binary_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  const int number = std::is_same_v<T, float> ? kFloat : sizeof(T) == 2 ? kUint16 : kUint32;
  return Add("accessors", {{"bufferView", Add("bufferViews", std::move(view))},
                           {"componentType", number},
                           {"count", values.size() / per_item},
                           {"type", type}});
}

int GlbWriter::Material(const std::array<float, 4>& rgba, bool both_sides) {
  const auto [known, added] = materials_.emplace(std::pair(rgba, both_sides), 0);
  if (added) {
    Json material = {
        {"pbrMetallicRoughness",
         {{"baseColorFactor", rgba}, {"metallicFactor", 0}, {"roughnessFactor", 0.7}}}};
    if (rgba[3] < 1) material["alphaMode"] = "BLEND";
    if (both_sides) material["doubleSided"] = true;
    known->second = Add("materials", std::move(material));
  }
  return known->second;
}

}  // namespace backflip::sim
