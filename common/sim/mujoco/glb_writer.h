// Writes binary glTF 2.0.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_GLB_WRITER_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_GLB_WRITER_H_

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/sim/mujoco/shapes.h"
#include "nlohmann/json.hpp"

namespace backflip::sim {

// Everything is added once and named by its index. Meshes, not empty, hold triangles of one shape
// in one colour (red, green, blue, opacity); a shape may be shared.
class GlbWriter {
 public:
  using Json = nlohmann::ordered_json;

  GlbWriter();

  int AddNode(Json node) { return Add("nodes", std::move(node)); }
  int AddShape(const Mesh& mesh);
  // Of the shape; the same mesh for the same colour. `both_sides`: its triangles are seen from
  // behind, too.
  int MeshOf(int shape, const std::array<float, 4>& rgba, bool both_sides = false);
  // What moves a mesh with joints: nodes, and for each the inverse [16, by columns] of where it is
  // when the mesh is as it is written.
  int AddSkin(const std::vector<int>& nodes, const std::vector<float>& inverse_binds);

  // The whole, with `scene` as its only scene.
  std::string Finish(Json scene);

 private:
  int Add(const char* list, Json item);
  template <typename T>
  int AddAccessor(const std::vector<T>& values, int per_item, const char* type, int target);
  int Material(const std::array<float, 4>& rgba, bool both_sides);

  Json json_;
  std::string binary_;
  std::vector<Json> shapes_;
  std::map<std::pair<std::array<float, 4>, bool>, int> materials_;
  std::map<std::pair<int, int>, int> meshes_;  // of shape and material
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_GLB_WRITER_H_
