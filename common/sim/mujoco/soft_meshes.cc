#include "common/sim/mujoco/soft_meshes.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

namespace backflip::sim {
namespace {

constexpr size_t kBones = 4;  // of a vertex, at most

// Where the rotation matrix and the position of a frame take a point; its inverse, by columns.
void AppendInverse(const mjtNum* rotation, const mjtNum* position, std::vector<float>* out) {
  mjtNum back[3];
  mju_mulMatTVec3(back, rotation, position);
  for (int column = 0; column < 3; ++column) {
    for (int row = 0; row < 3; ++row) {
      out->push_back(static_cast<float>(rotation[3 * column + row]));
    }
    out->push_back(0);
  }
  for (int row = 0; row < 3; ++row) out->push_back(static_cast<float>(-back[row]));
  out->push_back(1);
}

// Builds a mesh in the model's own pose from points that are fixed to bodies.
class Builder {
 public:
  Builder(const mjData* data, const std::array<float, 4>& rgba) : data_(data) { soft_.rgba = rgba; }

  // A point of the world that moves with the body. Returns its index.
  uint32_t Add(const mjtNum* point, int body) {
    const auto [known, added] = bones_.emplace(body, static_cast<uint16_t>(soft_.bodies.size()));
    if (added) {
      soft_.bodies.push_back(body);
      AppendInverse(data_->xmat + 9 * body, data_->xpos + 3 * body, &soft_.inverse_binds);
    }
    Mesh& mesh = soft_.mesh;
    for (int i = 0; i < 3; ++i) mesh.positions.push_back(static_cast<float>(point[i]));
    mesh.joints.insert(mesh.joints.end(), {known->second, 0, 0, 0});
    mesh.weights.insert(mesh.weights.end(), {1, 0, 0, 0});
    return static_cast<uint32_t>(mesh.positions.size() / 3 - 1);
  }

  void AddTriangle(uint32_t a, uint32_t b, uint32_t c) {
    soft_.mesh.indices.insert(soft_.mesh.indices.end(), {a, b, c});
  }

  // A line from a point of one body to a point of another: three ribbons across each other, so that
  // it is as wide from wherever it is seen, and can be stretched.
  void AddLine(const mjtNum* from, int from_body, const mjtNum* to, int to_body, double radius) {
    mjtNum along[3], first[3], second[3], third[3];
    mju_sub3(along, to, from);
    if (mju_normalize3(along) < 1e-9) return;
    const mjtNum other[3] = {along[2], along[0], along[1]};
    mju_cross(first, along, other);
    if (mju_normalize3(first) < 1e-6) return;
    mju_cross(second, along, first);
    for (int i = 0; i < 3; ++i) third[i] = (first[i] + second[i]) / std::sqrt(2.0);
    for (const mjtNum* across : {first, second, third}) {
      mjtNum corners[4][3];
      for (int i = 0; i < 3; ++i) {
        corners[0][i] = from[i] - radius * across[i];
        corners[1][i] = from[i] + radius * across[i];
        corners[2][i] = to[i] + radius * across[i];
        corners[3][i] = to[i] - radius * across[i];
      }
      const uint32_t a = Add(corners[0], from_body), b = Add(corners[1], from_body);
      const uint32_t c = Add(corners[2], to_body), d = Add(corners[3], to_body);
      AddTriangle(a, b, c);
      AddTriangle(a, c, d);
    }
  }

  SoftMesh Take() { return std::move(soft_); }

 private:
  const mjData* const data_;
  SoftMesh soft_;
  std::map<int, uint16_t> bones_;  // by body
};

SoftMesh Skin(const mjModel* m, int skin) {
  SoftMesh soft;
  soft.rgba = ColourOf(m, m->skin_rgba + 4 * skin, m->skin_matid[skin]);
  const int vertices = m->skin_vertnum[skin];
  const float* position = m->skin_vert + 3 * m->skin_vertadr[skin];
  soft.mesh.positions.assign(position, position + 3 * vertices);
  const int* face = m->skin_face + 3 * m->skin_faceadr[skin];
  soft.mesh.indices.assign(face, face + 3 * m->skin_facenum[skin]);
  std::vector<std::vector<std::pair<float, uint16_t>>> weights(vertices);
  for (int i = 0; i < m->skin_bonenum[skin]; ++i) {
    const int bone = m->skin_boneadr[skin] + i;
    soft.bodies.push_back(m->skin_bonebodyid[bone]);
    mjtNum bind[3], orientation[4], rotation[9];
    std::copy_n(m->skin_bonebindpos + 3 * bone, 3, bind);
    std::copy_n(m->skin_bonebindquat + 4 * bone, 4, orientation);
    mju_quat2Mat(rotation, orientation);
    AppendInverse(rotation, bind, &soft.inverse_binds);
    for (int k = 0; k < m->skin_bonevertnum[bone]; ++k) {
      const int at = m->skin_bonevertadr[bone] + k;
      weights[m->skin_bonevertid[at]].emplace_back(m->skin_bonevertweight[at],
                                                   static_cast<uint16_t>(i));
    }
  }
  for (auto& of_vertex : weights) {
    std::sort(of_vertex.begin(), of_vertex.end(), std::greater<>());
    of_vertex.resize(kBones);
    float sum = 0;
    for (const auto& [weight, bone] : of_vertex) sum += weight;
    for (const auto& [weight, bone] : of_vertex) {
      soft.mesh.joints.push_back(bone);
      soft.mesh.weights.push_back(sum > 0 ? weight / sum : bone == 0);
    }
  }
  return soft;
}

SoftMesh Flex(const mjModel* m, const mjData* data, int flex) {
  Builder builder(data, ColourOf(m, m->flex_rgba + 4 * flex, m->flex_matid[flex]));
  const int dim = m->flex_dim[flex], first = m->flex_vertadr[flex];
  const auto place = [&](int vertex) { return data->flexvert_xpos + 3 * (first + vertex); };
  const auto body = [&](int vertex) { return m->flex_vertbodyid[first + vertex]; };
  if (dim == 1) {
    for (int i = 0; i < m->flex_elemnum[flex]; ++i) {
      const int* ends = m->flex_elem + m->flex_elemdataadr[flex] + 2 * i;
      builder.AddLine(place(ends[0]), body(ends[0]), place(ends[1]), body(ends[1]),
                      m->flex_radius[flex]);
    }
    return builder.Take();
  }
  for (int i = 0; i < m->flex_vertnum[flex]; ++i) builder.Add(place(i), body(i));
  // the surface of a solid is its shell
  const int* triangles = dim == 2 ? m->flex_elem + m->flex_elemdataadr[flex]
                                  : m->flex_shell + m->flex_shelldataadr[flex];
  const int count = dim == 2 ? m->flex_elemnum[flex] : m->flex_shellnum[flex];
  for (int i = 0; i < 3 * count; i += 3) {
    builder.AddTriangle(triangles[i], triangles[i + 1], triangles[i + 2]);
  }
  return builder.Take();
}

void AddTendon(const mjModel* m, const mjData* data, int tendon, Builder* builder) {
  int before = -1;  // the site before
  for (int i = 0; i < m->tendon_num[tendon]; ++i) {
    const int wrap = m->tendon_adr[tendon] + i, site = m->wrap_objid[wrap];
    if (m->wrap_type[wrap] == mjWRAP_PULLEY) before = -1;
    if (m->wrap_type[wrap] != mjWRAP_SITE) continue;
    if (before >= 0) {
      builder->AddLine(data->site_xpos + 3 * before, m->site_bodyid[before],
                       data->site_xpos + 3 * site, m->site_bodyid[site], m->tendon_width[tendon]);
    }
    before = site;
  }
}

}  // namespace

std::vector<SoftMesh> SoftMeshes(const mjModel* model) {
  const DataPtr data(mj_makeData(model));
  mj_kinematics(model, data.get());
  mj_comPos(model, data.get());
  mj_flex(model, data.get());
  const VisibleGroups groups(model);
  std::vector<SoftMesh> all;
  for (int i = 0; i < model->nskin; ++i) {
    if (groups.Show(model->skin_group[i])) all.push_back(Skin(model, i));
  }
  for (int i = 0; i < model->nflex; ++i) {
    if (groups.Show(model->flex_group[i]) && !DeformedByNodes(model, i)) {
      all.push_back(Flex(model, data.get(), i));
    }
  }
  std::map<std::array<float, 4>, Builder> tendons;
  for (int i = 0; i < model->ntendon; ++i) {
    if (!groups.Show(model->tendon_group[i])) continue;
    const auto rgba = ColourOf(model, model->tendon_rgba + 4 * i, model->tendon_matid[i]);
    AddTendon(model, data.get(), i, &tendons.try_emplace(rgba, data.get(), rgba).first->second);
  }
  for (auto& [rgba, builder] : tendons) all.push_back(builder.Take());
  all.erase(std::remove_if(all.begin(), all.end(),
                           [](const SoftMesh& soft) {
                             return soft.mesh.indices.empty() || soft.rgba[3] <= 0;
                           }),
            all.end());
  return all;
}

bool DeformedByNodes(const mjModel* model, int flex) { return model->flex_interp[flex] != 0; }

}  // namespace backflip::sim
