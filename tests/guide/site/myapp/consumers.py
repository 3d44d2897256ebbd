from .result_management import TaskResultManager

# WebSocket integration for real-time task updates
from channels.generic.websocket import AsyncWebsocketConsumer
import json

class TaskProgressConsumer(AsyncWebsocketConsumer):
    """WebSocket consumer for real-time task progress updates."""
    
    async def connect(self):
        """Handle WebSocket connection."""
        self.task_id = self.scope['url_route']['kwargs']['task_id']
        self.group_name = f'task_{self.task_id}'
        
        # Join task group
        await self.channel_layer.group_add(
            self.group_name,
            self.channel_name
        )
        
        await self.accept()
        
        # Send initial task status
        await self.send_task_status()
    
    async def disconnect(self, close_code):
        """Handle WebSocket disconnection."""
        await self.channel_layer.group_discard(
            self.group_name,
            self.channel_name
        )
    
    async def send_task_status(self):
        """Send current task status."""
        manager = TaskResultManager()
        task_info = manager.get_task_info(self.task_id)
        
        await self.send(text_data=json.dumps({
            'type': 'task_status',
            'data': task_info
        }))
    
    async def task_progress_update(self, event):
        """Handle task progress updates."""
        await self.send(text_data=json.dumps({
            'type': 'progress_update',
            'data': event['data']
        }))
