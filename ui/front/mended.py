"""Faults of Gradio's scripts that every open tab suffers from, mended as the files are served.

With some 200 components and as many events, the tree of the page took Gradio longer to build than to show.
"""

Mend = tuple[bytes, bytes]
"""What stands in a file of Gradio 6.31, and what is sent instead."""

_ATTACHED = (
    b"find_attached_events(e,t){let n=t.filter(t=>t.targets.find(([t])=>t===e.id)).map(t=>{"
    b"let n=t.targets.find(([t])=>t===e.id);return n?n[1]:null}).filter(Boolean);"
)
_ATTACHED_BY_ID = (
    b"static of=new WeakMap;find_attached_events(e,t){let o=Ee.of.get(t);if(!o){o=new Map;for(let r of t)"
    b"for(let[i,a]of new Map(r.targets.toReversed()))a&&o.set(i,[...o.get(i)??[],a]);Ee.of.set(t,o)}"
    b"let n=[...o.get(e.id)??[]];"
)

MENDED: dict[str, tuple[Mend, ...]] = {
    # The clock of a status that is taken off the page while it is pending, as that of the first load is, went on for
    # ever: a callback before each frame, 3 % of a core at 60 Hz.
    "statustracker-DQF-KcRT.js": ((b"W&&ze()", b"W&&U?.isConnected&&ze()"),),
    "index-DphvyggB.js": (
        # The server ends the stream of a session that waits for nothing. An event that was asked for before the tab
        # heard of it counted on that stream and was never answered; now the tab opens another.
        (
            b"{wt(r,o.abort_controller);return}",
            b"{wt(r,o.abort_controller),t.size&&o.open_stream();return}",
        ),
        # An event that ended before the answer to its request came was then counted as one that goes on.
        (
            b"v[E]=t,y.add(E),h.open||await this.open_stream()",
            b"Le||(v[E]=t,y.add(E),h.open||await this.open_stream())",
        ),
    ),
    "Index-Akn07EZk2.js": (
        # The whole configuration was made reactive, property by property; nothing changes it.
        (b"R(M,S(G).get_url_config(),!0),oe(S(M))", b"R(M,S(G).get_url_config()),oe(S(M))"),
        # A tab that was about to be left closed its streams, and said that the connection was lost until the next page
        # came; where none came, as after a link that is a download, nothing more was heard.
        (b"addEventListener(`beforeunload`,", b"addEventListener(`pagehide`,"),
    ),
    "Blocks-D1GWYZdr.js": (
        # The page was built a second time as soon as it was there, as if the program had been edited.
        (b"le(()=>{v(),oe(()=>{O.reload(", b"le(()=>{v()&&oe(()=>{O.reload("),
        # Each component of an event was looked for, also where the event changes nothing there.
        (
            b"async set_event_args(e,t){let n={},",
            b"async set_event_args(e,t){if(!Object.keys(t).length)return()=>{};let n={},",
        ),
        # What was asked for while an event ran that then failed was forgotten, as the button of a second row of the
        # list of jobs where that of the first was refused.
        (
            b"event_data:null,target_id:l})})}}}}create(e){",
            b"event_data:null,target_id:l})}),this.queue.delete(r.id)&&this.dispatch(e)}}}}create(e){",
        ),
    ),
    "core-Bdx9080F.js": (
        # All events were searched for each component.
        (_ATTACHED, _ATTACHED_BY_ID),
        # A component on the page was looked for in the tree, which is not needed to ask it.
        (
            b"let t=this.#s.get(e),n=Z(this.root,e);return!t&&!n?null:t?await t():n?",
            b"let t=this.#s.get(e);if(t)return await t();let n=Z(this.root,e);return n?",
        ),
        # The tree was reactive while it was being built.
        (
            b"this.#u=o,this.root=this.create_node({id:t.id,children:[]},new Map,!0);",
            b"this.#u=o;let l=this.create_node({id:t.id,children:[]},new Map,!0);",
        ),
        (
            b"this.root.children=this.#t.children.map(e=>this.traverse(e,e=>this.create_node(e,c,",
            b"l.children=this.#t.children.map(e=>this.traverse(e,e=>this.create_node(e,c,",
        ),
        (
            b"X(this.root,this.initial_tabs),this.postprocess(this.root),this.root_untracked=this.root",
            b"X(l,this.initial_tabs),this.postprocess(l),this.root_untracked=this.root",
        ),
        # What was typed into a field in the first frame after its accordion or tab was opened went: the fields were
        # given the values that they had been made with once more.
        (
            b"requestAnimationFrame(e));for(let e of n)this.#p(e)",
            b"requestAnimationFrame(e));for(let e of n)await this.#m(e.id,e),this.#p(e)",
        ),
    ),
}
"""By file; a file of another Gradio is sent as it is."""


def mended(name: str, text: bytes) -> bytes:
    """Return the script `name` without its known faults."""
    for fault, right in MENDED.get(name, ()):
        text = text.replace(fault, right)
    return text
